"""Which requests run next, by example."""

import pytest

from penstock.repository.manifest import Batching, Pad
from penstock.scheduler.batch_policy import Candidate, Dispatch, WaitUntil, choose_batch

NOW = 1_000_000_000


def waits(*rows: int, key: object = (), length: int = 0, arrived_ns: int = NOW) -> list[Candidate]:
    return [Candidate(n, key, length, arrived_ns) for n in rows]


def chosen(waiting: list[Candidate], max_rows: int, **options: object) -> tuple[int, ...]:
    choice = choose_batch(waiting, NOW, max_rows, Batching(**options))  # type: ignore[arg-type]
    assert isinstance(choice, Dispatch)
    return choice.indices


@pytest.mark.parametrize(
    ("rows", "max_rows", "expected"),
    [
        ((1,), 32, (0,)),
        ((1, 1, 1), 2, (0, 1)),
        ((3, 2, 1), 4, (0, 2)),
        ((4, 1), 4, (0,)),
        ((9, 1), 4, (0,)),
        ((1, 1), 1, (0,)),
        ((1, 1), 0, (0,)),
        ((2, 9, 2), 4, (0, 2)),
    ],
)
def test_rows(rows: tuple[int, ...], max_rows: int, expected: tuple[int, ...]) -> None:
    assert chosen(waits(*rows), max_rows) == expected


def test_only_one_key() -> None:
    waiting = [*waits(1), *waits(1, key="other"), *waits(1)]
    assert chosen(waiting, 8) == (0, 2)


def test_the_nearest_lengths_first_and_none_too_far() -> None:
    waiting = [w for length in (10, 13, 20, 9, 10, 11) for w in waits(1, length=length)]
    pad = Pad(bucket_width=3)
    assert chosen(waiting, 8, pad=pad) == (0, 1, 3, 4, 5)
    assert chosen(waiting, 3, pad=pad) == (0, 3, 4)
    assert chosen(waiting, 3) == (0, 1, 2)


def test_without_a_key_a_request_runs_alone_and_at_once() -> None:
    waiting = waits(1, 1, key=None)
    assert chosen(waiting, 8, max_queue_delay_s=5) == (0,)


def test_an_idle_instance_waits_for_company_as_long_as_it_was_told() -> None:
    options = Batching(max_queue_delay_s=0.5)
    due_ns = NOW + 500_000_000
    assert choose_batch(waits(1, 1), NOW, 8, options) == WaitUntil(due_ns)
    assert choose_batch(waits(1, 1), due_ns - 1, 8, options) == WaitUntil(due_ns)
    assert choose_batch(waits(1, 1), due_ns, 8, options) == Dispatch((0, 1))
    assert choose_batch(waits(4, 4), NOW, 8, options) == Dispatch((0, 1))


def test_preferred_sizes_end_the_wait_with_just_so_many() -> None:
    options = {"max_queue_delay_s": 5, "preferred_batch_sizes": (2, 4)}
    assert chosen(waits(1, 1), 8, **options) == (0, 1)
    assert chosen(waits(1, 1, 1), 8, **options) == (0, 1)
    assert chosen(waits(1, 1, 1, 1, 1), 8, **options) == (0, 1, 2, 3)
    assert chosen(waits(*[1] * 9), 8, **options) == tuple(range(8))
    assert chosen(waits(4), 8, **options) == (0,)
    assert chosen(waits(3), 8, **options) == (0,)
    short = choose_batch(waits(1), NOW, 8, Batching(**options))  # type: ignore[arg-type]
    assert isinstance(short, WaitUntil)
