"""What ``penstock models`` prints: tables of the protocol's answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from penstock.core.byte_size import show_bytes
from penstock.core.dtype import DType
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.server.example import example_curl

_STYLES = {"READY": "green", "LOADING": "yellow", "UNLOADING": "yellow"}
_US_PER_S = 1_000_000
_NS_PER_MS = 1e6


def plain_table(*columns: str) -> Table:
    """A table without lines, its first column at the left edge."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def memory_by_version(statistics: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], int]:
    """What each loaded version takes in memory, in bytes, by its name and version."""
    return {
        (entry["name"], entry["version"]): sum(use["byte_size"] for use in entry["memory_usage"])
        for entry in statistics
        if entry.get("memory_usage")
    }


def index_table(
    entries: Sequence[Mapping[str, str]], memory: Mapping[tuple[str, str], int] | None = None
) -> Table:
    """The repository's index, one line per version.

    Args:
        entries: the index.
        memory: what versions take in memory, in bytes, by name and version; None: not told.
    """
    with_reason = any(entry.get("reason") for entry in entries)
    sizes = ["memory"] if memory is not None else []
    reasons = ["reason"] if with_reason else []
    table = plain_table("name", "version", "state", *sizes, *reasons)
    for entry in entries:
        state = entry.get("state", "")
        known = Text(state.lower(), _STYLES.get(state, "red")) if state else Text("not loaded")
        reason = [Text(" ".join(entry.get("reason", "").split()))] if with_reason else []
        name, version = entry["name"], entry.get("version", "-")
        size = [] if memory is None else [_size(memory.get((name, version)))]
        table.add_row(Text(name), version, known, *size, *reason)
    return table


def _size(num_bytes: int | None) -> str:
    if num_bytes is None:
        return "-"
    return show_bytes(num_bytes)


def model_page(told: Mapping[str, Any], url: str, version: str) -> list[Any]:
    """Everything ``penstock models show`` prints of a model, in order.

    Args:
        told: the server's answers: ``metadata``, ``config``, ``statistics``.
        url: the server's address, for the ``curl`` line.
        version: the version asked for; "": the newest.
    """
    metadata, config = told["metadata"], told["config"]
    versions = ", ".join(metadata.get("versions") or ["-"])
    head = plain_table()
    head.show_header = False
    head.add_column(style="bold")
    head.add_column(overflow="fold")
    head.add_row("model", Text(metadata["name"]))
    head.add_row("version" if version else "versions", versions)
    head.add_row("platform", metadata.get("platform", "-"))
    for label, value in _config_rows(config):
        head.add_row(label, Text(value))
    lines: list[Any] = [head, "", _tensor_table(metadata, config), ""]
    if told["statistics"]:
        lines += [_statistics_table(told["statistics"]), "times are means per request", ""]
    signature = _signature(metadata, config)
    curl = example_curl(metadata["name"], signature, url) if signature.inputs else None
    if curl is not None:
        path = f"/versions/{version}/infer" if version else "/infer"
        lines.append(curl.replace("/infer", path, 1))
    return lines


def _config_rows(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = []
    groups = config.get("instance_group") or []
    devices = [
        f"{group.get('count', 1)} on {str(group.get('kind', '')).removeprefix('KIND_').lower()}"
        + "".join(f" {number}" for number in group.get("gpus") or [])
        for group in groups
    ]
    if devices:
        rows.append(("instances", ", ".join(devices)))
    size = config.get("max_batch_size", 0)
    batching = config.get("dynamic_batching") or {}
    delay_us = int(batching.get("max_queue_delay_microseconds", 0))
    if size:
        preferred = batching.get("preferred_batch_size") or []
        text = f"up to {size} rows"
        text += f", preferably {', '.join(map(str, preferred))}" if preferred else ""
        text += f", waits {delay_us / 1000:g} ms for more" if delay_us else ""
        rows.append(("batches", text))
    queue = batching.get("default_queue_policy") or {}
    if queue:
        timeout_s = int(queue.get("default_timeout_microseconds", 0)) / _US_PER_S
        limit = queue.get("max_queue_size", 0)
        rows.append(("queue", f"{limit} requests, {timeout_s:g} s each"))
    return rows


def _tensor_table(metadata: Mapping[str, Any], config: Mapping[str, Any]) -> Table:
    optional = _optional_names(config)
    table = plain_table("", "name", "datatype", "shape")
    for side in ("inputs", "outputs"):
        for spec in metadata.get(side) or []:
            name = Text(spec["name"])
            if side == "inputs" and spec["name"] in optional:
                name.append(" (optional)")
            table.add_row(side.removesuffix("s"), name, spec["datatype"], str(spec["shape"]))
    return table


def _statistics_table(entries: Sequence[Mapping[str, Any]]) -> Table:
    table = plain_table("version", *_STATISTICS)
    for column in table.columns[1:]:
        column.justify = "right"
    for entry in entries:
        stats = entry["inference_stats"]
        table.add_row(
            entry["version"],
            str(stats["success"]["count"]),
            str(stats["fail"]["count"]),
            str(entry["inference_count"]),
            str(entry["execution_count"]),
            _mean_ms(stats["queue"]),
            _mean_ms(stats["compute_infer"]),
            _mean_ms(stats["success"]),
        )
    return table


_STATISTICS = (
    "answered",
    "failed",
    "rows",
    "executions",
    "queue ms",
    "compute ms",
    "total ms",
)


def _mean_ms(duration: Mapping[str, int]) -> str:
    count = duration["count"]
    return f"{duration['ns'] / count / _NS_PER_MS:.3f}" if count else "-"


def _optional_names(config: Mapping[str, Any]) -> set[str]:
    return {spec["name"] for spec in config.get("input") or [] if spec.get("optional")}


def _signature(metadata: Mapping[str, Any], config: Mapping[str, Any]) -> ModelSignature:
    optional = _optional_names(config)
    specs = tuple(
        TensorSpec(
            spec["name"],
            DType(spec["datatype"]),
            tuple(spec["shape"]),
            optional=spec["name"] in optional,
        )
        for spec in metadata.get("inputs") or []
    )
    return ModelSignature(specs, ())
