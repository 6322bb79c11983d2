"""Histogram, ModelStats, StatsRegistry."""

from penstock.telemetry.registry import StatsRegistry
from penstock.telemetry.stats import (
    BATCH_BOUNDS_ROWS,
    LATENCY_BOUNDS_NS,
    EdgeStats,
    Histogram,
    ModelStats,
    StatDuration,
)


def test_a_bound_belongs_to_its_bucket() -> None:
    histogram = Histogram((1, 10))
    for value in (0, 1, 2, 10, 11, 1000):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 2]
    assert (histogram.total, histogram.count) == (1024, 6)


def test_bounds_ascend() -> None:
    for bounds in (LATENCY_BOUNDS_NS, BATCH_BOUNDS_ROWS):
        assert list(bounds) == sorted(set(bounds))
    assert (LATENCY_BOUNDS_NS[0], LATENCY_BOUNDS_NS[-1]) == (50_000, 30_000_000_000)


def test_a_snapshot_of_nothing() -> None:
    seen = ModelStats("m", 1).snapshot()
    assert (seen.inference_count, seen.execution_count, seen.last_inference_ms) == (0, 0, 0)
    assert seen.success == seen.fail == seen.queue == seen.compute_infer == StatDuration()
    assert seen.batches == ()


def test_a_snapshot() -> None:
    stats = ModelStats("m", 2)
    stats.executed(4, 10, 100, 1)
    stats.executed(1, 20, 200, 2)
    stats.executed(4, 30, 300, 3)
    stats.answered(4, 1000, 50)
    stats.answered(5, 2000, 60)
    stats.failed("model_failed", 7)
    stats.failed("model_failed", 8)
    stats.failed("cancelled", 9)
    stats.last_wall_ns = 5_999_999
    seen = stats.snapshot()
    assert (seen.name, seen.version, seen.last_inference_ms) == ("m", 2, 5)
    assert (seen.inference_count, seen.execution_count) == (9, 3)
    assert seen.success == StatDuration(2, 3000)
    assert seen.fail == StatDuration(3, 24)
    assert seen.queue == StatDuration(2, 110)
    assert seen.compute_input == StatDuration(3, 60)
    assert seen.compute_infer == StatDuration(3, 600)
    assert seen.compute_output == StatDuration(3, 6)
    assert seen.cache_hit == seen.cache_miss == StatDuration()
    assert [(b.batch_size, b.compute_infer) for b in seen.batches] == [
        (1, StatDuration(1, 200)),
        (4, StatDuration(2, 400)),
    ]


def test_what_is_rejected_at_the_edge() -> None:
    edge = EdgeStats()
    for code in ("not_found", "not_found", "too_large"):
        edge.reject("rest", code)
    assert edge.rejected == {("rest", "not_found"): 2, ("rest", "too_large"): 1}


def test_the_registry() -> None:
    registry = StatsRegistry()
    old, new, other = ModelStats("m", 2), ModelStats("m", 2), ModelStats("a", 10)
    registry.add(old)
    registry.add(other)
    registry.add(new)
    assert list(registry) == [other, new]
    registry.remove(old)
    assert list(registry) == [other, new]
    registry.remove(new)
    registry.remove(new)
    assert list(registry) == [other]
