"""The Prometheus metrics of a stream, and the small page that a runner shows them on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from penstock.core.clock import Clock, SystemClock
from penstock.core.errors import ConfigError
from penstock.telemetry.metric_specs import MetricSpec
from penstock.telemetry.metrics import buckets_of, family_of
from penstock.telemetry.stats import BATCH_BOUNDS_ROWS, LATENCY_BOUNDS_NS, Histogram
from penstock.telemetry.stream_stats import StreamStats

_NS = 1e9
_STREAM = ("stream",)

RECEIVED = MetricSpec(
    "penstock_stream_received_total",
    "counter",
    _STREAM,
    "Records taken from the source, those that came again among them.",
)
REDELIVERED = MetricSpec(
    "penstock_stream_redelivered_total",
    "counter",
    _STREAM,
    "Records taken that were delivered before, where the broker counts that.",
)
SETTLED = MetricSpec(
    "penstock_stream_settled_total",
    "counter",
    ("stream", "outcome"),
    "Records done with, by outcome: predicted, dead or dropped.",
)
DEAD = MetricSpec(
    "penstock_stream_dead_letters_total",
    "counter",
    ("stream", "reason"),
    "Dead letters, by reason: an error code.",
)
RETRIES = MetricSpec(
    "penstock_stream_retries_total",
    "counter",
    ("stream", "step"),
    "Steps that failed and were tried again: open, poll, predict, dead_letters, write, settle.",
)
UNDER_WAY_RECORDS = MetricSpec(
    "penstock_stream_under_way_records",
    "gauge",
    _STREAM,
    "Records taken and not settled yet.",
)
UNDER_WAY_BYTES = MetricSpec(
    "penstock_stream_under_way_bytes",
    "gauge",
    _STREAM,
    "About what the records under way hold in memory.",
)
CONNECTED = MetricSpec(
    "penstock_stream_connected",
    "gauge",
    _STREAM,
    "1: the source answered when it was last asked; 0: the broker is waited for.",
)
LAG = MetricSpec(
    "penstock_stream_lag_records",
    "gauge",
    _STREAM,
    "Records that wait at the source; absent where the broker cannot tell.",
)
OLDEST_AGE_SECONDS = MetricSpec(
    "penstock_stream_oldest_age_seconds",
    "gauge",
    _STREAM,
    "How old the oldest record is that waits; 0: none does, absent: not known.",
)
AGE_SECONDS = MetricSpec(
    "penstock_stream_age_seconds",
    "histogram",
    _STREAM,
    "From when a record was produced to its effect being durable.",
    tuple(bound / _NS for bound in LATENCY_BOUNDS_NS),
)
BATCH_RECORDS = MetricSpec(
    "penstock_stream_batch_records",
    "histogram",
    _STREAM,
    "Records per micro-batch.",
    tuple(float(bound) for bound in BATCH_BOUNDS_ROWS),
)

STREAM_METRICS: tuple[MetricSpec, ...] = (
    RECEIVED,
    REDELIVERED,
    SETTLED,
    DEAD,
    RETRIES,
    UNDER_WAY_RECORDS,
    UNDER_WAY_BYTES,
    CONNECTED,
    LAG,
    OLDEST_AGE_SECONDS,
    AGE_SECONDS,
    BATCH_RECORDS,
)
"""All of them; docs/streams.md is checked against this."""

_NUMBERS: tuple[
    tuple[MetricSpec, Callable[[StreamStats], Iterable[tuple[tuple[str, ...], float]]]], ...
] = (
    (RECEIVED, lambda s: [((), s.received)]),
    (REDELIVERED, lambda s: [((), s.redelivered)]),
    (
        SETTLED,
        lambda s: [
            (("predicted",), s.predicted),
            (("dead",), s.num_dead),
            (("dropped",), s.dropped),
        ],
    ),
    (DEAD, lambda s: (((reason,), n) for reason, n in sorted(s.dead.items()))),
    (RETRIES, lambda s: (((step,), n) for step, n in sorted(s.retries.items()))),
    (UNDER_WAY_RECORDS, lambda s: [((), s.under_way_records)]),
    (UNDER_WAY_BYTES, lambda s: [((), s.under_way_bytes)]),
    (CONNECTED, lambda s: [((), s.is_connected)]),
    (LAG, lambda s: [] if s.lag is None else [((), s.lag)]),
)
_HISTOGRAMS: tuple[tuple[MetricSpec, Callable[[StreamStats], Histogram], float], ...] = (
    (AGE_SECONDS, lambda s: s.age_ns, _NS),
    (BATCH_RECORDS, lambda s: s.batch_records, 1.0),
)


class StreamCollector:
    """Gives the numbers of a stream to a registry of the Prometheus client."""

    def __init__(self, stats: StreamStats, clock: Clock | None = None) -> None:
        self._stats = stats
        self._clock = clock or SystemClock()

    def collect(self) -> Iterator[Any]:
        """All metric families with the numbers of now."""
        stats = self._stats
        for spec, read in _NUMBERS:
            family = family_of(spec)
            for labels, value in read(stats):
                family.add_metric([stats.name, *labels], value)
            yield family
        family = family_of(OLDEST_AGE_SECONDS)
        age_s = self._oldest_age_s()
        if age_s is not None:
            family.add_metric([stats.name], age_s)
        yield family
        for spec, of, unit in _HISTOGRAMS:
            family = family_of(spec)
            family.add_metric([stats.name], *buckets_of(of(stats), spec, unit))
            yield family

    def _oldest_age_s(self) -> float | None:
        if self._stats.oldest_ms is None:
            return 0.0 if self._stats.lag == 0 else None
        return max(0.0, self._clock.wall_ns() / _NS - self._stats.oldest_ms / 1000)


@contextmanager
def metrics_page(stats: StreamStats, host: str, port: int) -> Iterator[int]:
    """Show the metrics of a stream, and of this process, on ``http://host:port/metrics``.

    On a thread of its own, which only reads: a stream has no server that could.

    Args:
        stats: whose numbers.
        host: the address to bind.
        port: 0: any that is free.

    Yields:
        the port.

    Raises:
        ConfigError: the port cannot be bound.
    """
    from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(StreamCollector(stats))
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as err:
        text = f"metrics: cannot listen on {host}:{port}: {err.strerror}"
        raise ConfigError(text) from err
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
