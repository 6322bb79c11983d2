"""Statistics of several processes."""

from penstock.telemetry.stats import ModelStats
from penstock.telemetry.stats_sum import sum_statistics


def stats(version: int = 1, rows: int = 2) -> ModelStats:
    one = ModelStats("m", version)
    one.executed(rows, 10, 20, 30)
    one.answered(rows, 100, 5)
    one.failed("overloaded", 7)
    one.cache_missed(3)
    one.memory_bytes, one.last_wall_ns = 50, rows * 1_000_000
    return one


def test_one_process_stays_as_it_is() -> None:
    assert sum_statistics([stats().snapshot()]) == [stats().snapshot()]
    assert sum_statistics([]) == []


def test_numbers_are_summed_by_version() -> None:
    first, second, third = stats(rows=2), stats(rows=4), stats(version=2)
    summed, other = sum_statistics(one.snapshot() for one in (first, third, second))
    assert other == third.snapshot()
    assert (summed.inference_count, summed.execution_count) == (6, 2)
    assert (summed.success.count, summed.success.ns) == (2, 200)
    assert (summed.fail.count, summed.cache_miss.count) == (2, 2)
    assert (summed.last_inference_ms, summed.memory_bytes) == (4, 100)
    assert [(one.batch_size, one.compute_infer.ns) for one in summed.batches] == [(2, 20), (4, 20)]


def test_batches_of_one_size_become_one() -> None:
    (summed,) = sum_statistics([stats().snapshot(), stats().snapshot()])
    (batch,) = summed.batches
    assert (batch.batch_size, batch.compute_input.count, batch.compute_output.ns) == (2, 2, 60)
