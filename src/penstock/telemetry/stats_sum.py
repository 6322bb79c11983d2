"""The statistics of several processes as one."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter

from penstock.telemetry.stats import BatchStat, ModelStatsSnapshot, StatDuration


def sum_statistics(snapshots: Iterable[ModelStatsSnapshot]) -> list[ModelStatsSnapshot]:
    """One snapshot for each version: numbers summed, the last inference the latest of them.

    Law: the order changes nothing; one snapshot for each version stays as it is.
    """
    versions: dict[tuple[str, int], list[ModelStatsSnapshot]] = {}
    for snapshot in snapshots:
        versions.setdefault((snapshot.name, snapshot.version), []).append(snapshot)
    return [_sum(versions[key]) for key in sorted(versions)]


def _sum(parts: list[ModelStatsSnapshot]) -> ModelStatsSnapshot:
    first = parts[0]
    return ModelStatsSnapshot(
        name=first.name,
        version=first.version,
        last_inference_ms=max(one.last_inference_ms for one in parts),
        inference_count=sum(one.inference_count for one in parts),
        execution_count=sum(one.execution_count for one in parts),
        success=_duration(one.success for one in parts),
        fail=_duration(one.fail for one in parts),
        queue=_duration(one.queue for one in parts),
        compute_input=_duration(one.compute_input for one in parts),
        compute_infer=_duration(one.compute_infer for one in parts),
        compute_output=_duration(one.compute_output for one in parts),
        cache_hit=_duration(one.cache_hit for one in parts),
        cache_miss=_duration(one.cache_miss for one in parts),
        batches=_batches(batch for one in parts for batch in one.batches),
        memory_bytes=sum(one.memory_bytes for one in parts),
    )


def _duration(parts: Iterable[StatDuration]) -> StatDuration:
    counted = [*parts]
    return StatDuration(sum(one.count for one in counted), sum(one.ns for one in counted))


def _batches(parts: Iterable[BatchStat]) -> tuple[BatchStat, ...]:
    sizes: dict[int, list[BatchStat]] = {}
    for part in parts:
        sizes.setdefault(part.batch_size, []).append(part)
    return tuple(
        BatchStat(
            size,
            _duration(map(attrgetter("compute_input"), same)),
            _duration(map(attrgetter("compute_infer"), same)),
            _duration(map(attrgetter("compute_output"), same)),
        )
        for size, same in sorted(sizes.items())
    )
