"""batch_size: the search for the fastest."""

from __future__ import annotations

from penstock.core.errors import ModelFailed, PenstockError
from penstock.jobs.batch.batch_size import best_size, measure_sizes, next_size
from penstock.testing.fake_clock import FakeClock


class Model:
    """Takes a fixed time for each batch, and a time for each row, and some more beyond a size."""

    def __init__(self, batch_s: float, row_s: float, slow_beyond: int = 10**9) -> None:
        self.clock = FakeClock()
        self.tried: set[int] = set()
        self.no_memory_from = 10**9
        self.poison: int | None = None
        self._seconds = (batch_s, row_s)
        self._slow_beyond = slow_beyond

    def __call__(self, start: int, stop: int) -> PenstockError | MemoryError | None:
        rows = stop - start
        self.tried.add(rows)
        batch_s, row_s = self._seconds
        slow = 2 if rows > self._slow_beyond else 1
        self.clock.advance(batch_s + row_s * rows * slow)
        if rows >= self.no_memory_from:
            return MemoryError()
        if self.poison is not None and start <= self.poison < stop:
            return ModelFailed("choked")
        return None

    def best(self, num_rows: int = 8192) -> int:
        return best_size(measure_sizes(self, num_rows, 8192, self.clock))


def test_a_model_that_costs_by_the_batch_gets_large_ones() -> None:
    assert Model(batch_s=0.001, row_s=0.000001).best() == 8192


def test_no_batch_takes_more_than_a_second_where_a_smaller_one_is_as_fast() -> None:
    assert Model(batch_s=0.0, row_s=0.02).best() == 32
    assert Model(batch_s=0.0, row_s=0.05).best() == 16
    assert Model(batch_s=0.0, row_s=2.0).best() == 1


def test_a_batch_takes_more_than_a_second_where_that_is_faster() -> None:
    assert Model(batch_s=1.0, row_s=0.001).best() >= 4096


def test_a_model_that_is_fastest_by_the_row_is_given_single_rows() -> None:
    assert Model(batch_s=0.0, row_s=0.001, slow_beyond=1).best() == 1


def test_batches_that_take_no_time_are_made_larger() -> None:
    assert Model(batch_s=0.0, row_s=0.000002).best() == 8192
    assert Model(batch_s=0.0, row_s=0.00001).best() == 4096


def test_a_model_that_is_slow_with_large_batches_gets_none() -> None:
    model = Model(batch_s=0.001, row_s=0.0001, slow_beyond=128)
    assert model.best() == 128
    assert max(model.tried) <= 512


def test_no_more_rows_than_there_are() -> None:
    assert Model(batch_s=0.001, row_s=0.000001).best(num_rows=100) == 64


def test_a_size_for_which_there_is_no_memory_is_not_chosen() -> None:
    model = Model(batch_s=0.001, row_s=0.000001)
    model.no_memory_from = 256
    assert model.best() == 128


def test_of_short_batches_the_largest_that_is_fast() -> None:
    assert Model(batch_s=0.0, row_s=0.00001, slow_beyond=256).best() == 256


def test_a_row_that_fails_does_not_decide() -> None:
    model = Model(batch_s=0.001, row_s=0.00001)
    model.poison = 40
    assert model.best() >= 256


def test_where_nothing_works_it_is_one_row() -> None:
    model = Model(batch_s=0.001, row_s=0.00001)
    model.no_memory_from = 1
    assert model.best() == 1


def test_two_doublings_without_a_gain_are_enough() -> None:
    assert next_size({32: 1000.0, 64: 1010.0}, 8192) == 128
    assert next_size({32: 1000.0, 64: 1010.0, 128: 1010.0}, 8192) is None


def test_smaller_sizes_are_tried_as_long_as_no_larger_one_is_faster() -> None:
    assert next_size({32: 1010.0, 64: 1000.0, 128: 1010.0}, 8192) == 16
    assert next_size({16: 1009.0, 32: 1010.0, 64: 1000.0, 128: 1010.0}, 8192) is None


def test_no_size_is_tried_for_seconds_that_promises_nothing() -> None:
    assert next_size({16: 50.0, 32: 100.0, 64: 101.0}, 8192) is None
    assert next_size({16: 50.0, 32: 100.0, 64: 110.0}, 8192) == 128


def test_a_machine_that_is_busy_for_a_while_does_not_decide() -> None:
    model, busy = Model(batch_s=0.0, row_s=0.0001), iter([1.0] * 20 + [3.0] * 200 + [1.0] * 10_000)

    def on_a_busy_machine(start: int, stop: int) -> PenstockError | MemoryError | None:
        model.clock.advance(0.0001 * (stop - start) * (next(busy) - 1))
        return model(start, stop)

    rates = measure_sizes(on_a_busy_machine, 8192, 8192, model.clock)
    assert max(rates.values()) < 1.03 * min(rates.values())


def test_a_rate_that_is_off_by_little_does_not_make_batches_small() -> None:
    assert best_size({16: 101.0, 32: 103.0, 64: 101.0, 128: 102.0, 256: 102.0}) == 64


def test_a_size_that_fails_later_on_does_not_make_another_one_fast() -> None:
    model, calls = Model(batch_s=0.001, row_s=0.0001), iter(range(10**6))

    def soon_without_memory(start: int, stop: int) -> PenstockError | MemoryError | None:
        found = model(start, stop)
        return MemoryError() if stop - start == 32 and next(calls) > 70 else found

    rates = measure_sizes(soon_without_memory, 8192, 8192, model.clock)
    assert next(calls) > 71
    assert max(rates.values()) < 10_000
