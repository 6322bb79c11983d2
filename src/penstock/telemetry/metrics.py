"""Every Prometheus metric, declared once, and the collector that fills them at a scrape.

Nothing here runs on the request path: it counts into ``ModelStats``, and a scrape reads that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple

from penstock.core.status import VersionStatus
from penstock.telemetry.stats import (
    BATCH_BOUNDS_ROWS,
    LATENCY_BOUNDS_NS,
    EdgeStats,
    Histogram,
    ModelStats,
)
from penstock.telemetry.store_stats import StoreStats

_NS = 1e9


class MetricSpec(NamedTuple):
    """The declaration of one metric.

    Attributes:
        name: full name; the unit is its suffix.
        kind: its Prometheus type.
        labels: label names, in order.
        meaning: one sentence for people.
        bounds: upper bounds of a histogram's buckets, in the unit of the name.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    meaning: str
    bounds: tuple[float, ...] = ()


_VERSION = ("model", "version")
_LATENCY_S = tuple(bound / _NS for bound in LATENCY_BOUNDS_NS)
_ROWS = tuple(float(bound) for bound in BATCH_BOUNDS_ROWS)

REQUESTS = MetricSpec(
    "penstock_requests_total",
    "counter",
    (*_VERSION, "outcome"),
    "Inference requests that reached a model, by outcome: ok or an error code.",
)
REJECTED = MetricSpec(
    "penstock_rejected_requests_total",
    "counter",
    ("protocol", "code"),
    "Requests that ended before they reached a model, by error code.",
)
ROWS = MetricSpec(
    "penstock_rows_total",
    "counter",
    _VERSION,
    "Rows answered by the model; what the response cache answered is not among them.",
)
REQUEST_SECONDS = MetricSpec(
    "penstock_request_duration_seconds",
    "histogram",
    _VERSION,
    "End to end inside the server: from the request's arrival to its answer, ready to encode.",
    _LATENCY_S,
)
QUEUE_SECONDS = MetricSpec(
    "penstock_queue_duration_seconds",
    "histogram",
    _VERSION,
    "From admission to the start of execution.",
    _LATENCY_S,
)
BATCH_WAIT_SECONDS = MetricSpec(
    "penstock_batch_wait_duration_seconds",
    "histogram",
    _VERSION,
    "How long a batch waited for company while an instance was idle (max_queue_delay_s).",
    _LATENCY_S,
)
EXECUTE_SECONDS = MetricSpec(
    "penstock_execute_duration_seconds",
    "histogram",
    _VERSION,
    "One execution of a batch by the model.",
    _LATENCY_S,
)
BATCH_ROWS = MetricSpec(
    "penstock_batch_size_rows", "histogram", _VERSION, "Rows per execution.", _ROWS
)
QUEUE_REQUESTS = MetricSpec(
    "penstock_queue_requests", "gauge", _VERSION, "Requests that wait for an instance now."
)
QUEUE_BYTES = MetricSpec(
    "penstock_queue_bytes", "gauge", _VERSION, "Bytes of inputs that wait for an instance now."
)
INSTANCES = MetricSpec("penstock_instances", "gauge", _VERSION, "Instances there are.")
INSTANCES_READY = MetricSpec(
    "penstock_instances_ready", "gauge", _VERSION, "Instances that take work, busy or not."
)
WORKER_DEATHS = MetricSpec(
    "penstock_worker_deaths_total", "counter", _VERSION, "Worker processes that died."
)
INSTANCES_BUSY = MetricSpec(
    "penstock_instances_busy", "gauge", _VERSION, "Instances that compute now, off the event loop."
)
INLINE = MetricSpec(
    "penstock_model_inline",
    "gauge",
    _VERSION,
    "1 while the model runs on the event loop, 0 while it runs on its instances' threads.",
)
LOAD_SECONDS = MetricSpec(
    "penstock_model_load_seconds",
    "gauge",
    _VERSION,
    "How long the load took, warm-up included.",
)
MODEL_MEMORY = MetricSpec(
    "penstock_model_memory_bytes",
    "gauge",
    (*_VERSION, "source"),
    "What a loaded version takes in memory: estimated, measured at its load, or declared.",
)
MEMORY_HELD = MetricSpec(
    "penstock_memory_held_bytes", "gauge", (), "What all loaded versions take in memory."
)
MEMORY_BUDGET = MetricSpec(
    "penstock_memory_budget_bytes", "gauge", (), "The most they may take; 0: what there is."
)
EVICTIONS = MetricSpec(
    "penstock_model_evictions_total", "counter", (), "Models unloaded to make room for others."
)
ON_DEMAND_WAITING = MetricSpec(
    "penstock_on_demand_waiting_requests",
    "gauge",
    (),
    "Requests that wait for a model to be loaded on demand now.",
)
STATE = MetricSpec(
    "penstock_model_state",
    "gauge",
    (*_VERSION, "state"),
    "1 for the state a version is in: new, loading, ready, unloading, unloaded or failed.",
)

CACHE = MetricSpec(
    "penstock_response_cache_requests_total",
    "counter",
    (*_VERSION, "outcome"),
    "Requests to a model with a response cache: hit (answered without the model) or miss.",
)
STORE_LOOKUPS = MetricSpec(
    "penstock_store_lookups_total",
    "counter",
    ("store", "outcome"),
    "Keys looked up: hit, miss (computed) or shared (computed by another request meanwhile).",
)
STORE_ERRORS = MetricSpec(
    "penstock_store_errors_total",
    "counter",
    ("store", "operation", "fault"),
    "Reads and writes that failed, by what is wrong with the store.",
)
STORE_WRITTEN = MetricSpec(
    "penstock_store_written_total", "counter", ("store",), "Items written in the background."
)
STORE_DROPPED = MetricSpec(
    "penstock_store_dropped_total",
    "counter",
    ("store", "reason"),
    "Items that were never written: queue_full, not_drained, closed, or what the store said.",
)
STORE_PENDING_ITEMS = MetricSpec(
    "penstock_store_pending_items", "gauge", ("store",), "Items that wait to be written now."
)
STORE_PENDING_BYTES = MetricSpec(
    "penstock_store_pending_bytes", "gauge", ("store",), "Bytes that wait to be written now."
)
STORE_OPEN = MetricSpec(
    "penstock_store_breaker_open",
    "gauge",
    ("store", "operation"),
    "1 while the circuit breaker keeps reads or writes from a failing store, else 0.",
)
STORE_READ_SECONDS = MetricSpec(
    "penstock_store_read_duration_seconds",
    "histogram",
    ("store",),
    "One lookup, of any number of keys, that did not fail.",
    _LATENCY_S,
)
STORE_WRITE_SECONDS = MetricSpec(
    "penstock_store_write_duration_seconds",
    "histogram",
    ("store",),
    "One background write of a batch that did not fail.",
    _LATENCY_S,
)

METRICS: tuple[MetricSpec, ...] = (
    REQUESTS,
    REJECTED,
    ROWS,
    REQUEST_SECONDS,
    QUEUE_SECONDS,
    BATCH_WAIT_SECONDS,
    EXECUTE_SECONDS,
    BATCH_ROWS,
    QUEUE_REQUESTS,
    QUEUE_BYTES,
    INSTANCES,
    INSTANCES_READY,
    INSTANCES_BUSY,
    WORKER_DEATHS,
    INLINE,
    LOAD_SECONDS,
    MODEL_MEMORY,
    MEMORY_HELD,
    MEMORY_BUDGET,
    EVICTIONS,
    ON_DEMAND_WAITING,
    STATE,
    CACHE,
    STORE_LOOKUPS,
    STORE_ERRORS,
    STORE_WRITTEN,
    STORE_DROPPED,
    STORE_PENDING_ITEMS,
    STORE_PENDING_BYTES,
    STORE_OPEN,
    STORE_READ_SECONDS,
    STORE_WRITE_SECONDS,
)
"""All of them; docs/metrics.md is checked against this."""

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
        from prometheus_client import (
            CONTENT_TYPE_LATEST,
            CollectorRegistry,
            PlatformCollector,
            ProcessCollector,
            generate_latest,
        )

        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        registry.register(self)
        return generate_latest(registry), CONTENT_TYPE_LATEST

    def collect(self) -> Iterator[Any]:
        """All metric families with the numbers of now."""
        models = list(self._models())
        yield from _stores(self._edge.stores)
        yield from _memory(models, self._edge)
        requests, rows, cache = _family(REQUESTS), _family(ROWS), _family(CACHE)
        for stats in models:
            if stats.cache_hits or stats.cache_misses:
                cache.add_metric([stats.name, str(stats.version), "hit"], stats.cache_hits)
                cache.add_metric([stats.name, str(stats.version), "miss"], stats.cache_misses)
            for outcome, count in sorted(stats.outcomes.items()):
                requests.add_metric([stats.name, str(stats.version), outcome], count)
            rows.add_metric([stats.name, str(stats.version)], stats.rows)
        rejected, state = _family(REJECTED), _family(STATE)
        for (protocol, code), count in sorted(self._edge.rejected.items()):
            rejected.add_metric([protocol, code], count)
        for status in self._statuses():
            state.add_metric([status.id.name, str(status.id.version), status.state], 1)
        yield from (requests, rejected, rows, cache, state)
        for spec, read in _NUMBERS:
            family = _family(spec)
            for stats in models:
                family.add_metric([stats.name, str(stats.version)], read(stats))
            yield family
        for spec, of, unit in _HISTOGRAMS:
            family = _family(spec)
            for stats in models:
                buckets, total = _buckets(of(stats), spec, unit)
                family.add_metric([stats.name, str(stats.version)], buckets, total)
            yield family


def _stores(stores: Iterable[StoreStats]) -> Iterator[Any]:
    """The metric families of the stores."""
    for spec, counts in _STORE_COUNTS:
        family = _family(spec)
        for stats in stores:
            for labels, value in counts(stats):
                family.add_metric([stats.name, *labels], value)
        yield family
    for spec, of in _STORE_HISTOGRAMS:
        family = _family(spec)
        for stats in stores:
            family.add_metric([stats.name], *_buckets(of(stats), spec, _NS))
        yield family


def _memory(models: Iterable[ModelStats], edge: EdgeStats) -> Iterator[Any]:
    """The metric families of the memory."""
    family = _family(MODEL_MEMORY)
    for stats in models:
        labels = [stats.name, str(stats.version), stats.memory_source]
        family.add_metric(labels, stats.memory_bytes)
    yield family
    if edge.memory is None:
        return
    specs = (MEMORY_HELD, MEMORY_BUDGET, EVICTIONS, ON_DEMAND_WAITING)
    for spec, value in zip(specs, edge.memory(), strict=True):
        family = _family(spec)
        family.add_metric([], value)
        yield family


def _family(spec: MetricSpec) -> Any:
    from prometheus_client import core

    families = {
        "counter": core.CounterMetricFamily,
        "gauge": core.GaugeMetricFamily,
        "histogram": core.HistogramMetricFamily,
    }
    return families[spec.kind](spec.name, spec.meaning, labels=spec.labels)


def _buckets(
    histogram: Histogram, spec: MetricSpec, unit: float
) -> tuple[list[tuple[str, int]], float]:
    """Cumulative buckets and the sum, in the metric's unit."""
    seen = 0
    buckets = []
    for bound, count in zip((*spec.bounds, float("inf")), histogram.counts, strict=True):
        seen += count
        buckets.append(("+Inf" if bound == float("inf") else repr(bound), seen))
    return buckets, histogram.total / unit
