"""What ``penstock jobs`` prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from penstock.app.cli.model_tables import plain_table
from penstock.core.byte_size import show_bytes

_STYLES = {"done": "green", "running": "yellow", "failed": "red"}


def jobs_table(jobs: Sequence[Mapping[str, Any]]) -> Table:
    """A line for each job, as the server tells it."""
    table = plain_table("job", "state", "model", "rows", "dead", "splits", "who", "submitted")
    for job in jobs:
        state = "cancelling" if job["is_cancelling"] else job["state"]
        progress = job["progress"]
        table.add_row(
            Text(job["id"]),
            Text(state, style=_STYLES.get(state, "")),
            Text(f"{job['model']}:{job['version']}"),
            f"{progress['rows']:,}",
            f"{progress['rows_dead']:,}",
            f"{progress['splits_done']}/{progress['splits'] or '?'}",
            Text(job["who"]),
            datetime.fromtimestamp(job["submitted_ms"] / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ"),
        )
    return table


def result_lines(result: Mapping[str, Any], url: str) -> Iterator[Table | str]:
    """What a job has done; for an upload its files, and how to fetch them.

    Args:
        result: as the server tells it.
        url: where it was told.
    """
    report = result["report"]
    tally = report["tally"]
    yield (
        f"{tally['rows_in']:,} rows in, {tally['rows_out']:,} predicted, "
        f"{tally['rows_dead']:,} dead, in {report['wall_s']:.1f} s"
    )
    if result["output"]:
        yield f"output: {result['output']}"
        return
    table = plain_table("file", "size")
    for file in result["files"]:
        table.add_row(Text(file["name"]), show_bytes(file["num_bytes"]))
    yield table
    yield f"curl '{url}?file=all'"
