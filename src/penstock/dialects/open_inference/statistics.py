"""The statistics extension: the numbers of each version in the protocol's words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from penstock.telemetry.stats import BatchStat, ModelStatsSnapshot, StatDuration

_DURATIONS = (
    "success",
    "fail",
    "queue",
    "compute_input",
    "compute_infer",
    "compute_output",
    "cache_hit",
    "cache_miss",
)


def model_statistics(snapshots: Iterable[ModelStatsSnapshot]) -> dict[str, Any]:
    """The answer of ``GET .../stats`` and ``ModelStatistics``: one entry per version.

    Source: Triton, "Statistics Extension".
    """
    return {"model_stats": [_model(snapshot) for snapshot in snapshots]}


def _model(snapshot: ModelStatsSnapshot) -> dict[str, Any]:
    return {
        "name": snapshot.name,
        "version": str(snapshot.version),
        "last_inference": snapshot.last_inference_ms,
        "inference_count": snapshot.inference_count,
        "execution_count": snapshot.execution_count,
        "inference_stats": {field: _duration(getattr(snapshot, field)) for field in _DURATIONS},
        "batch_stats": [_batch(batch) for batch in snapshot.batches],
        "memory_usage": _memory(snapshot.memory_bytes),
        "response_stats": {},
    }


def _memory(num_bytes: int) -> list[dict[str, Any]]:
    """What it takes in memory; nothing where that is not known."""
    return [{"type": "CPU", "id": 0, "byte_size": num_bytes}] if num_bytes else []


def _batch(batch: BatchStat) -> dict[str, Any]:
    return {
        "batch_size": batch.batch_size,
        "compute_input": _duration(batch.compute_input),
        "compute_infer": _duration(batch.compute_infer),
        "compute_output": _duration(batch.compute_output),
    }


def _duration(duration: StatDuration) -> dict[str, int]:
    return {"count": duration.count, "ns": duration.ns}
