"""The page of all Prometheus metrics, filled at a scrape.

Nothing here runs on the request path: it counts into ``ModelStats``, and a scrape reads that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from penstock.core.status import VersionStatus
from penstock.telemetry.families import Family, PlainCollector, read_families
from penstock.telemetry.metric_specs import (
    BATCH_ROWS,
    BATCH_WAIT_SECONDS,
    CACHE,
    CONTROL_STORE_UP,
    EVICTIONS,
    EXECUTE_SECONDS,
    INLINE,
    INSTANCES,
    INSTANCES_BUSY,
    INSTANCES_READY,
    LOAD_SECONDS,
    MEMORY_BUDGET,
    MEMORY_HELD,
    MODEL_MEMORY,
    ON_DEMAND_WAITING,
    PROCESS_DEATHS,
    PROCESSES,
    PROCESSES_SILENT,
    QUEUE_BYTES,
    QUEUE_REQUESTS,
    QUEUE_SECONDS,
    REJECTED,
    REQUEST_SECONDS,
    REQUESTS,
    ROLLBACKS,
    ROLLOUT_DECISIONS,
    ROLLOUT_EFFECT_SECONDS,
    ROLLOUT_PHASE,
    ROLLOUT_SAMPLE_RATIO,
    ROLLOUT_STALLED,
    ROLLOUT_UNDELIVERED,
    ROLLOUT_WEIGHT,
    ROUTE_UNKEYED,
    ROWS,
    SHADOW_DISAGREEMENT,
    STATE,
    STORE_DROPPED,
    STORE_ERRORS,
    STORE_LOOKUPS,
    STORE_OPEN,
    STORE_PENDING_BYTES,
    STORE_PENDING_ITEMS,
    STORE_READ_SECONDS,
    STORE_WRITE_SECONDS,
    STORE_WRITTEN,
    VARIANT_FALLBACKS,
    VARIANT_REQUESTS,
    WORKER_DEATHS,
    MetricSpec,
)
from penstock.telemetry.rollout_stats import RolloutStats
from penstock.telemetry.route_stats import RouteStats
from penstock.telemetry.stats import EdgeStats, Histogram, ModelStats
from penstock.telemetry.store_stats import StoreStats

_NS = 1e9


_NUMBERS: tuple[tuple[MetricSpec, Callable[[ModelStats], float]], ...] = (
    (QUEUE_REQUESTS, lambda s: s.queue_requests),
    (QUEUE_BYTES, lambda s: s.queue_bytes),
    (INSTANCES, lambda s: s.instances),
    (INSTANCES_READY, lambda s: s.ready),
    (INSTANCES_BUSY, lambda s: s.busy),
    (WORKER_DEATHS, lambda s: s.worker_deaths),
    (INLINE, lambda s: s.inline),
    (LOAD_SECONDS, lambda s: s.load_s),
)
_STORE_COUNTS: tuple[
    tuple[MetricSpec, Callable[[StoreStats], Iterable[tuple[tuple[str, ...], float]]]], ...
] = (
    (STORE_LOOKUPS, lambda s: (((outcome,), n) for outcome, n in s.lookups.items())),
    (STORE_ERRORS, lambda s: sorted(s.errors.items())),
    (STORE_WRITTEN, lambda s: [((), s.written)]),
    (STORE_DROPPED, lambda s: (((reason,), n) for reason, n in sorted(s.dropped.items()))),
    (STORE_PENDING_ITEMS, lambda s: [((), s.pending_items)]),
    (STORE_PENDING_BYTES, lambda s: [((), s.pending_bytes)]),
    (STORE_OPEN, lambda s: (((operation,), is_open) for operation, is_open in s.is_open.items())),
)
_STORE_HISTOGRAMS: tuple[tuple[MetricSpec, Callable[[StoreStats], Histogram]], ...] = (
    (STORE_READ_SECONDS, lambda s: s.read_ns),
    (STORE_WRITE_SECONDS, lambda s: s.write_ns),
)
_ROLLOUTS: tuple[
    tuple[MetricSpec, Callable[[RolloutStats], Iterable[tuple[tuple[str, ...], float]]]], ...
] = (
    (ROLLOUT_PHASE, lambda s: (((model, phase), 1.0) for model, phase in s.phases.items())),
    (ROLLOUT_WEIGHT, lambda s: (((model,), n / 100) for model, n in s.weights.items())),
    (ROLLBACKS, lambda s: (((model,), n) for model, n in s.rollbacks.items())),
    (ROLLOUT_DECISIONS, lambda s: s.decisions.items()),
    (ROLLOUT_UNDELIVERED, lambda s: (((model,), n) for model, n in s.undelivered.items())),
    (ROLLOUT_STALLED, lambda s: (((model,), 1.0) for model in s.stalled)),
    (SHADOW_DISAGREEMENT, lambda s: (((model,), n) for model, n in s.disagreement.items())),
    (ROLLOUT_SAMPLE_RATIO, lambda s: (((model,), n) for model, n in s.sample_ratio.items())),
)
_HISTOGRAMS: tuple[tuple[MetricSpec, Callable[[ModelStats], Histogram], float], ...] = (
    (REQUEST_SECONDS, lambda s: s.request_ns, _NS),
    (QUEUE_SECONDS, lambda s: s.queue_ns, _NS),
    (BATCH_WAIT_SECONDS, lambda s: s.batch_wait_ns, _NS),
    (EXECUTE_SECONDS, lambda s: s.execute_ns, _NS),
    (BATCH_ROWS, lambda s: s.batch_rows, 1.0),
)


class MetricsPage:
    """Renders ``/metrics``."""

    def __init__(
        self,
        models: Callable[[], Iterable[ModelStats]],
        statuses: Callable[[], Iterable[VersionStatus]],
        edge: EdgeStats,
    ) -> None:
        self._models = models
        self._statuses = statuses
        self._edge = edge

    def render(self) -> tuple[bytes, str]:
        """The page in the Prometheus text format, and its content type."""
        return _render([self, *_of_the_process()])

    def families(self) -> list[Family]:
        """The page as plain values, for another process."""
        sources = (self, *_of_the_process())
        return read_families(metric for source in sources for metric in source.collect())

    def collect(self) -> Iterator[Any]:
        """All metric families with the numbers of now."""
        models = list(self._models())
        yield from _stores(self._edge.stores)
        yield from _memory(models, self._edge)
        yield from _processes(self._edge)
        yield from _routes(self._edge.routes)
        yield from _rollouts(self._edge.rollouts or RolloutStats())
        requests, rows, cache = family_of(REQUESTS), family_of(ROWS), family_of(CACHE)
        for stats in models:
            if stats.cache_hits or stats.cache_misses:
                cache.add_metric([stats.name, str(stats.version), "hit"], stats.cache_hits)
                cache.add_metric([stats.name, str(stats.version), "miss"], stats.cache_misses)
            for outcome, count in sorted(stats.outcomes.items()):
                requests.add_metric([stats.name, str(stats.version), outcome], count)
            rows.add_metric([stats.name, str(stats.version)], stats.rows)
        rejected, state = family_of(REJECTED), family_of(STATE)
        for (protocol, code), count in sorted(self._edge.rejected.items()):
            rejected.add_metric([protocol, code], count)
        for status in self._statuses():
            state.add_metric([status.id.name, str(status.id.version), status.state], 1)
        yield from (requests, rejected, rows, cache, state)
        for spec, read in _NUMBERS:
            family = family_of(spec)
            for stats in models:
                family.add_metric([stats.name, str(stats.version)], read(stats))
            yield family
        for spec, of, unit in _HISTOGRAMS:
            family = family_of(spec)
            for stats in models:
                buckets, total = buckets_of(of(stats), spec, unit)
                family.add_metric([stats.name, str(stats.version)], buckets, total)
            yield family


def render_families(families: Iterable[Family]) -> tuple[bytes, str]:
    """The page that ``MetricsPage.render`` gives, of families from anywhere."""
    return _render([PlainCollector(families)])


def _of_the_process() -> list[Any]:
    """Collectors of what the operating system and the interpreter know."""
    from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

    nowhere = CollectorRegistry()
    return [ProcessCollector(registry=nowhere), PlatformCollector(registry=nowhere)]


def _render(collectors: Iterable[Any]) -> tuple[bytes, str]:
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    return generate_latest(registry), CONTENT_TYPE_LATEST


def _stores(stores: Iterable[StoreStats]) -> Iterator[Any]:
    """The metric families of the stores."""
    for spec, counts in _STORE_COUNTS:
        family = family_of(spec)
        for stats in stores:
            for labels, value in counts(stats):
                family.add_metric([stats.name, *labels], value)
        yield family
    for spec, of in _STORE_HISTOGRAMS:
        family = family_of(spec)
        for stats in stores:
            family.add_metric([stats.name], *buckets_of(of(stats), spec, _NS))
        yield family


def _memory(models: Iterable[ModelStats], edge: EdgeStats) -> Iterator[Any]:
    """The metric families of the memory."""
    family = family_of(MODEL_MEMORY)
    for stats in models:
        labels = [stats.name, str(stats.version), stats.memory_source]
        family.add_metric(labels, stats.memory_bytes)
    yield family
    if edge.memory is None:
        return
    specs = (MEMORY_HELD, MEMORY_BUDGET, EVICTIONS, ON_DEMAND_WAITING)
    for spec, value in zip(specs, edge.memory(), strict=True):
        family = family_of(spec)
        family.add_metric([], value)
        yield family


def _processes(edge: EdgeStats) -> Iterator[Any]:
    """What this process adds to the metric families of the serving processes."""
    counted = (1, edge.silent_processes, edge.process_deaths, edge.control_store_up)
    specs = (PROCESSES, PROCESSES_SILENT, PROCESS_DEATHS, CONTROL_STORE_UP)
    for spec, value in zip(specs, counted, strict=True):
        family = family_of(spec)
        if value is not None:
            family.add_metric([], value)
        yield family


def _rollouts(stats: RolloutStats) -> Iterator[Any]:
    """The metric families of the rollouts."""
    for spec, read in _ROLLOUTS:
        family = family_of(spec)
        for labels, value in sorted(read(stats)):
            family.add_metric(list(labels), value)
        yield family
    family = family_of(ROLLOUT_EFFECT_SECONDS)
    for model, histogram in sorted(stats.effect_ns.items()):
        family.add_metric([model], *buckets_of(histogram, ROLLOUT_EFFECT_SECONDS, _NS))
    yield family


def _routes(routes: RouteStats) -> Iterator[Any]:
    """The metric families of the routes."""
    requests, fallbacks = family_of(VARIANT_REQUESTS), family_of(VARIANT_FALLBACKS)
    unkeyed = family_of(ROUTE_UNKEYED)
    for stats in routes:
        labels = [stats.model, str(stats.version), stats.variant]
        requests.add_metric(labels, stats.requests)
        fallbacks.add_metric(labels, stats.fallbacks)
    for model, count in sorted(routes.unkeyed.items()):
        unkeyed.add_metric([model], count)
    yield from (requests, fallbacks, unkeyed)


def family_of(spec: MetricSpec) -> Any:
    """An empty family of the Prometheus client for a metric."""
    from prometheus_client import core

    families = {
        "counter": core.CounterMetricFamily,
        "gauge": core.GaugeMetricFamily,
        "histogram": core.HistogramMetricFamily,
    }
    return families[spec.kind](spec.name, spec.meaning, labels=spec.labels)


def buckets_of(
    histogram: Histogram, spec: MetricSpec, unit: float
) -> tuple[list[tuple[str, int]], float]:
    """Cumulative buckets and the sum, in the metric's unit."""
    seen = 0
    buckets = []
    for bound, count in zip((*spec.bounds, float("inf")), histogram.counts, strict=True):
        seen += count
        buckets.append(("+Inf" if bound == float("inf") else repr(bound), seen))
    return buckets, histogram.total / unit
