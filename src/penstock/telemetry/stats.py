"""ModelStats: what one model version did, counted where it happens and read by everybody.

The hot path adds to plain integers; Prometheus metrics (``telemetry/metrics.py``) and the V2
statistics extension are both views of the same numbers.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from penstock.telemetry.route_stats import RouteStats

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.telemetry.rollout_stats import RolloutStats
    from penstock.telemetry.store_stats import StoreStats


class Histogram:
    """Counts of observations in buckets, with their sum. Owned by one thread.

    Attributes:
        bounds: upper bounds of the buckets, ascending; the last bucket is unbounded.
        counts: observations per bucket, not cumulative, ``len(bounds) + 1`` of them.
        total: sum of all observations, in the unit of ``bounds``.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total: float = 0

    def observe(self, value: float) -> None:
        """Add one observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """Number of observations."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class StatDuration:
    """How often something was done, and how long it took altogether.

    Attributes:
        count: times.
        ns: nanoseconds, summed.
    """

    count: int = 0
    ns: int = 0


class BatchStat(NamedTuple):
    """Executions of one batch size.

    Attributes:
        batch_size: rows in the executed batch.
        compute_input: merging.
        compute_infer: executing.
        compute_output: splitting.
    """

    batch_size: int
    compute_input: StatDuration
    compute_infer: StatDuration
    compute_output: StatDuration


@dataclass(frozen=True, slots=True)
class ModelStatsSnapshot:
    """The numbers of one version at one instant, in the words of the statistics extension.

    Source: Open Inference Protocol, "Statistics Extension".
    """

    name: str
    version: int
    last_inference_ms: int
    inference_count: int
    execution_count: int
    success: StatDuration
    fail: StatDuration
    queue: StatDuration
    compute_input: StatDuration
    compute_infer: StatDuration
    compute_output: StatDuration
    cache_hit: StatDuration
    cache_miss: StatDuration
    batches: tuple[BatchStat, ...]
    memory_bytes: int = 0


_MICRO = 1000
LATENCY_BOUNDS_NS = tuple(
    us * _MICRO
    for us in (
        *(50, 100, 250, 500),
        *(1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000),
        *(1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000),
    )
)
"""Bucket bounds of every latency histogram, in nanoseconds: 50 us to 30 s."""

BATCH_BOUNDS_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
"""Bucket bounds of the batch size histogram, in rows."""


class ModelStats:
    """The running numbers of one version. Owned by the event loop's thread.

    Attributes:
        name, version: whose numbers these are.
        outcomes: requests ended, by outcome: ``ok`` or an error code.
        request_ns: server-side time of answered requests, from the first byte's arrival at the
            application to the answer being ready to encode.
        queue_ns: waiting for an instance.
        batch_wait_ns: a batch waiting for company while an instance was idle.
        execute_ns: one execution of a batch.
        batch_rows: rows per execution.
        merge_ns, split_ns: sums over executions.
        fail_ns: sum over failed requests.
        cache_hits, cache_hit_ns: requests that the response cache answered, and the time it took.
        cache_misses, cache_miss_ns: those it could not answer, and what it added to their time.
        rows: rows the model answered.
        last_wall_ns: wall clock of the last answered request.
        queue_requests, queue_bytes: what waits now.
        busy: instances computing now.
        instances: instances there are.
        ready: of those, the ones that take work.
        worker_deaths: how often a worker process of one has died.
        inline: whether executions run on the event loop now.
        load_s: how long the load took, warm-up included.
        memory_bytes, memory_source: what it takes in memory, and how that is known: estimated,
            measured or declared.
        executions: per batch size, the count and the sums of merging, executing, splitting.
    """

    def __init__(self, name: str, version: int) -> None:
        self.name = name
        self.version = version
        self.outcomes: dict[str, int] = {}
        self.request_ns = Histogram(LATENCY_BOUNDS_NS)
        self.queue_ns = Histogram(LATENCY_BOUNDS_NS)
        self.batch_wait_ns = Histogram(LATENCY_BOUNDS_NS)
        self.execute_ns = Histogram(LATENCY_BOUNDS_NS)
        self.batch_rows = Histogram(BATCH_BOUNDS_ROWS)
        self.fail_ns = 0
        self.cache_hits = self.cache_hit_ns = 0
        self.cache_misses = self.cache_miss_ns = 0
        self.rows = 0
        self.last_wall_ns = 0
        self.queue_requests = 0
        self.queue_bytes = 0
        self.busy = 0
        self.instances = 0
        self.ready = 0
        self.worker_deaths = 0
        self.inline = False
        self.load_s = 0.0
        self.memory_bytes = 0
        self.memory_source = "estimated"
        self.executions: dict[int, list[int]] = {}

    def executed(self, rows: int, merge_ns: int, execute_ns: int, split_ns: int) -> None:
        """Count one execution of a batch of ``rows`` rows."""
        self.execute_ns.observe(execute_ns)
        self.batch_rows.observe(rows)
        sums = self.executions.get(rows)
        if sums is None:
            sums = self.executions[rows] = [0, 0, 0, 0]
        sums[0] += 1
        sums[1] += merge_ns
        sums[2] += execute_ns
        sums[3] += split_ns

    def answered(self, rows: int, request_ns: int, queue_ns: int) -> None:
        """Count one request that got its answer."""
        self.outcomes["ok"] = self.outcomes.get("ok", 0) + 1
        self.rows += rows
        self.request_ns.observe(request_ns)
        self.queue_ns.observe(queue_ns)

    def cache_hit(self, request_ns: int, lookup_ns: int) -> None:
        """Count one request that was answered without the model."""
        self.outcomes["ok"] = self.outcomes.get("ok", 0) + 1
        self.request_ns.observe(request_ns)
        self.queue_ns.observe(0)
        self.cache_hits += 1
        self.cache_hit_ns += lookup_ns

    def cache_missed(self, added_ns: int) -> None:
        """Count one request that the cache had no answer for; ``answered`` counts the rest."""
        self.cache_misses += 1
        self.cache_miss_ns += added_ns

    def failed(self, code: str, request_ns: int) -> None:
        """Count one request that ended in an error of this code."""
        self.outcomes[code] = self.outcomes.get(code, 0) + 1
        self.fail_ns += request_ns

    def snapshot(self) -> ModelStatsSnapshot:
        """The numbers now."""
        ok = self.outcomes.get("ok", 0)
        count, merge_ns, execute_ns, split_ns = (
            (sum(column) for column in zip(*self.executions.values(), strict=True))
            if self.executions
            else (0, 0, 0, 0)
        )
        return ModelStatsSnapshot(
            name=self.name,
            version=self.version,
            last_inference_ms=self.last_wall_ns // 1_000_000,
            inference_count=self.rows,
            execution_count=count,
            success=StatDuration(ok, int(self.request_ns.total)),
            fail=StatDuration(sum(self.outcomes.values()) - ok, self.fail_ns),
            queue=StatDuration(ok, int(self.queue_ns.total)),
            compute_input=StatDuration(count, merge_ns),
            compute_infer=StatDuration(count, execute_ns),
            compute_output=StatDuration(count, split_ns),
            cache_hit=StatDuration(self.cache_hits, self.cache_hit_ns),
            cache_miss=StatDuration(self.cache_misses, self.cache_miss_ns),
            batches=tuple(
                BatchStat(
                    rows,
                    StatDuration(sums[0], sums[1]),
                    StatDuration(sums[0], sums[2]),
                    StatDuration(sums[0], sums[3]),
                )
                for rows, sums in sorted(self.executions.items())
            ),
            memory_bytes=self.memory_bytes,
        )


class MemoryNumbers(NamedTuple):
    """What the loaded models hold together, and what becomes of those that are not loaded.

    Attributes:
        held_bytes: what the loaded versions hold, as far as that is known.
        budget_bytes: the most they may hold; 0: what the machine has.
        num_evictions: models unloaded so far to make room for others.
        num_waiting: requests that wait for models to be loaded.
    """

    held_bytes: int
    budget_bytes: int
    num_evictions: int
    num_waiting: int


class EdgeStats:
    """What happened around the models. Owned by the event loop's thread.

    Attributes:
        rejected: requests that never reached a model, by (protocol, error code).
        stores: the numbers of the key-value stores that are open.
        memory: reads the numbers of the memory; None: nobody knows them.
        silent_processes: how often another serving process did not answer us in time.
        process_deaths: how many serving processes have died; all of them are told.
        control_store_up: whether the control store answers; None: there is none.
        routes: who answered the requests of routed models.
        rollouts: the numbers of the rollouts; None: there was none.
    """

    def __init__(self) -> None:
        self.silent_processes = self.process_deaths = 0
        self.control_store_up: bool | None = None
        self.rejected: dict[tuple[str, str], int] = {}
        self.stores: list[StoreStats] = []
        self.routes = RouteStats()
        self.memory: Callable[[], MemoryNumbers] | None = None
        self.rollouts: RolloutStats | None = None

    def tell_store(self, is_up: bool) -> None:
        """Whether the control store answers from now on."""
        self.control_store_up = is_up

    def reject(self, protocol: str, code: str) -> None:
        """Count one."""
        key = (protocol, code)
        self.rejected[key] = self.rejected.get(key, 0) + 1
