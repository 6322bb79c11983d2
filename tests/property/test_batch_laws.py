"""Laws of the batch engine's decisions and queues."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.errors import ModelFailed, PenstockError
from penstock.jobs.batch.batch_size import best_size, next_size
from penstock.jobs.batch.bisect import bisect
from penstock.jobs.batch.byte_queue import ByteQueue, LaneQueue
from penstock.jobs.batch.dead_rate import too_many_dead
from penstock.jobs.batch.parts import cut_rows, piece_bytes_for, room_for


@given(st.integers(1, 200), st.sets(st.integers(0, 199)))
def test_bisect_finds_the_guilty_rows_and_answers_each_other_once(
    count: int, bad: set[int]
) -> None:
    attempts = 0

    def attempt(start: int, stop: int) -> list[int] | PenstockError:
        nonlocal attempts
        attempts += 1
        rows = list(range(start, stop))
        return ModelFailed("no") if bad & set(rows) else rows

    if not bad & set(range(count)):
        return
    answered, guilty = bisect(range(count), ModelFailed("no"), attempt)

    assert [one.row for one in guilty] == sorted(bad & set(range(count)))
    rows = [row for one in answered for row in one.answer]
    assert rows == sorted(set(range(count)) - bad)
    assert attempts <= 2 * len(guilty) * count.bit_length()


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 1))
def test_a_job_under_way_stops_only_where_its_rate_is_too_high(
    dead: int, alive: int, max_rate: float
) -> None:
    rows = dead + alive
    if too_many_dead(dead, rows, max_rate, is_end=False):
        assert dead > max_rate * rows
        assert too_many_dead(dead, rows, max_rate, is_end=True)
    if max_rate == 0:
        assert too_many_dead(dead, rows, max_rate, is_end=False) == (dead > 0)


@given(
    st.lists(st.floats(1, 1e6), min_size=14, max_size=14),
    st.integers(1, 8192),
    st.integers(0, 8192),
)
def test_the_search_for_a_batch_size_ends_with_one_it_has_tried(
    rate_of: list[float], largest: int, fails_from: int
) -> None:
    rates: dict[int, float] = {}
    while (size := next_size(rates, largest)) is not None:
        assert 1 <= size <= largest
        assert size not in rates
        rates[size] = 0.0 if size >= fails_from > 0 else rate_of[size.bit_length() - 1]

    assert best_size(rates) in rates
    assert max(rates.values()) == 0.0 or rates[best_size(rates)] * 1.03 >= max(rates.values())


@given(
    st.integers(1, 100_000),
    st.integers(2**24, 2**40),
    st.integers(1, 10**6),
    st.integers(1, 8),
    st.integers(1, 3),
)
def test_pieces_hold_whole_batches_and_fit_their_memory(
    batch_rows: int, memory_bytes: int, about_rows: int, workers: int, readers: int
) -> None:
    cut = cut_rows(batch_rows, piece_bytes_for(memory_bytes, workers, readers), about_rows)

    assert cut.piece_rows % cut.batch_rows == 0
    assert cut.piece_rows <= max(batch_rows, about_rows)
    for share, copies in ((memory_bytes, workers), (memory_bytes // workers, 1)):
        room = room_for(cut, share, copies, readers)  # as threads, and as processes
        hands = (readers + 2 * copies + 1) * cut.piece_bytes
        assert room.read + room.predicted + hands <= share


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1500)), max_size=60),
    st.integers(0, 2000),
    st.integers(1, 3),
)
@pytest.mark.timeout(20)
def test_lanes_keep_their_order_within_the_bound_and_never_stand_still(
    sizes: list[tuple[int, int]], max_bytes: int, num_workers: int
) -> None:
    """As in the pipeline: workers take from a queue in order, and put at their own pace."""
    assert_lanes_hold(sizes, max_bytes, num_workers)


def assert_lanes_hold(sizes: list[tuple[int, int]], max_bytes: int, num_workers: int) -> None:
    inbox: ByteQueue[tuple[int, int, int]] = ByteQueue(max_bytes)
    lanes: LaneQueue[tuple[int, int]] = LaneQueue(max_bytes)
    got: list[tuple[int, int]] = []

    def feed() -> None:
        counts = [0, 0, 0]
        for lane, size in sizes:
            inbox.put((lane, counts[lane], size), size)
            counts[lane] += 1
        inbox.close()

    def work() -> None:
        while (item := inbox.get()) is not None:
            lane, number, size = item
            lanes.put((lane, number), size, lane, number)

    def drain() -> None:
        while (item := lanes.get()) is not None:
            got.append(item)

    workers = [threading.Thread(target=work) for _ in range(num_workers)]
    others = [threading.Thread(target=feed), threading.Thread(target=drain)]
    run_all(workers, others, lanes.close)

    assert len(got) == len(sizes)
    for lane in range(3):
        numbers = [number for at, number in got if at == lane]
        assert numbers == list(range(len(numbers)))
    assert inbox.peak_bytes <= max_bytes
    assert lanes.peak_bytes <= max_bytes


def run_all(
    workers: list[threading.Thread], others: list[threading.Thread], close: Callable[[], None]
) -> None:
    for thread in (*workers, *others):
        thread.start()
    for thread in workers:
        thread.join()
    close()
    for thread in others:
        thread.join()
