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


def test_a_model_that_costs_by_the_row_gets_the_smallest_that_is_as_fast() -> None:
    assert Model(batch_s=0.0, row_s=0.02).best() == 1


def test_batches_that_take_no_time_are_made_larger() -> None:
    assert Model(batch_s=0.0, row_s=0.000002).best() == 8192
    assert Model(batch_s=0.0, row_s=0.00001).best() == 1024


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
    assert next_size({32: 100.0, 64: 101.0}, 8192) == 128
    assert next_size({32: 100.0, 64: 101.0, 128: 101.0}, 8192) == 16
    assert next_size({16: 50.0, 32: 100.0, 64: 101.0, 128: 101.0}, 8192) is None
