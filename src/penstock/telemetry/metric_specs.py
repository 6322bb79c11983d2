"""Every Prometheus metric, declared once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from penstock.telemetry.families import Merge
from penstock.telemetry.stats import BATCH_BOUNDS_ROWS, LATENCY_BOUNDS_NS

_NS = 1e9


class MetricSpec(NamedTuple):
    """The declaration of one metric.

    Attributes:
        name: full name; the unit is its suffix.
        kind: its Prometheus type.
        labels: label names, in order.
        meaning: one sentence for people.
        bounds: upper bounds of a histogram's buckets, in the unit of the name.
        merge: how the numbers of several processes become one; see ``families``.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    meaning: str
    bounds: tuple[float, ...] = ()
    merge: Merge = "sum"


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
    merge="max",
)
LOAD_SECONDS = MetricSpec(
    "penstock_model_load_seconds",
    "gauge",
    _VERSION,
    "How long the load took, warm-up included.",
    merge="max",
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
    merge="state",
)

CACHE = MetricSpec(
    "penstock_response_cache_requests_total",
    "counter",
    (*_VERSION, "outcome"),
    "Requests to a model with a response cache: hit (answered without the model) or miss.",
)
VARIANT_REQUESTS = MetricSpec(
    "penstock_variant_requests_total",
    "counter",
    (*_VERSION, "variant"),
    "Requests that a variant of a route was given, whatever came of them.",
)
VARIANT_FALLBACKS = MetricSpec(
    "penstock_variant_fallbacks_total",
    "counter",
    (*_VERSION, "variant"),
    "Requests of a variant that another version answered, because it was not ready.",
)
ROUTE_UNKEYED = MetricSpec(
    "penstock_route_unkeyed_requests_total",
    "counter",
    ("model",),
    "Requests without the key that their model's route assigns by; each is assigned by itself.",
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
    merge="max",
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

PROCESSES = MetricSpec(
    "penstock_processes", "gauge", (), "Serving processes whose numbers are on this page."
)
PROCESSES_SILENT = MetricSpec(
    "penstock_processes_silent_total",
    "counter",
    (),
    "How often a serving process did not answer another one in time.",
)
PROCESS_DEATHS = MetricSpec(
    "penstock_process_deaths_total",
    "counter",
    (),
    "Serving processes that ended and were not asked to; 0 where there is only one.",
    merge="max",
)
CONTROL_STORE_UP = MetricSpec(
    "penstock_control_store_up",
    "gauge",
    (),
    "1 while the control store answers, else 0: changes are refused, what is served stays.",
    merge="min",
)

ROLLOUT_PHASE = MetricSpec(
    "penstock_rollout_phase",
    "gauge",
    ("model", "phase"),
    "1 for the phase that the model's last rollout is in.",
    merge="max",
)
ROLLOUT_WEIGHT = MetricSpec(
    "penstock_rollout_weight_ratio",
    "gauge",
    ("model",),
    "The candidate's share of the requests, 0 to 1.",
    merge="max",
)
ROLLBACKS = MetricSpec(
    "penstock_rollout_rollbacks_total", "counter", ("model",), "Rollouts that were rolled back."
)
ROLLOUT_DECISIONS = MetricSpec(
    "penstock_rollout_decisions_total",
    "counter",
    ("model", "phase"),
    "What the controller decided, by the phase that it led to; paused is one of them.",
)
ROLLOUT_EFFECT_SECONDS = MetricSpec(
    "penstock_rollout_effect_duration_seconds",
    "histogram",
    ("model",),
    "From a decision until it held in every serving process.",
    _LATENCY_S,
)
ROLLOUT_UNDELIVERED = MetricSpec(
    "penstock_rollout_undelivered_events_total",
    "counter",
    ("model",),
    "Events of a rollout that its webhook did not take.",
)
ROLLOUT_STALLED = MetricSpec(
    "penstock_rollout_stalled",
    "gauge",
    ("model",),
    "1 while nobody can decide: the control store cannot be asked, or the controller has a bug.",
    merge="max",
)
SHADOW_DISAGREEMENT = MetricSpec(
    "penstock_shadow_disagreement_ratio",
    "gauge",
    ("model",),
    "Share of the shadow's rows that differ from those that the clients got, in this stage.",
    merge="max",
)
ROLLOUT_SAMPLE_RATIO = MetricSpec(
    "penstock_rollout_sample_ratio_p_value",
    "gauge",
    ("model",),
    "How likely the variants' requests are if they follow the weights; for routes without a key.",
    merge="min",
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
    VARIANT_REQUESTS,
    VARIANT_FALLBACKS,
    ROUTE_UNKEYED,
    STORE_LOOKUPS,
    STORE_ERRORS,
    STORE_WRITTEN,
    STORE_DROPPED,
    STORE_PENDING_ITEMS,
    STORE_PENDING_BYTES,
    STORE_OPEN,
    STORE_READ_SECONDS,
    STORE_WRITE_SECONDS,
    PROCESSES,
    PROCESSES_SILENT,
    PROCESS_DEATHS,
    CONTROL_STORE_UP,
    ROLLOUT_PHASE,
    ROLLOUT_WEIGHT,
    ROLLBACKS,
    ROLLOUT_DECISIONS,
    ROLLOUT_EFFECT_SECONDS,
    ROLLOUT_UNDELIVERED,
    ROLLOUT_STALLED,
    SHADOW_DISAGREEMENT,
    ROLLOUT_SAMPLE_RATIO,
)
"""All of them; docs/metrics.md is checked against this."""

MERGE_RULES: Mapping[str, Merge] = {
    spec.name.removesuffix("_total"): spec.merge for spec in METRICS if spec.merge != "sum"
}
"""How those metrics of several processes become one that are not summed, by family."""
