"""What ``penstock experiment`` prints: the verdict first, then the numbers it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from penstock.app.cli.model_tables import plain_table

_STYLES = {
    "better": "green",
    "kept": "green",
    "worse": "red",
    "broken": "red",
    "no verdict": "yellow",
}


def experiment_page(answer: Mapping[str, Any]) -> list[Any]:
    """Everything that is printed of an experiment, in order.

    Args:
        answer: the server's, as JSON.
    """
    result = answer["result"]
    lines: list[Any] = [answer["sentence"], "", _head(answer), "", _variants(result)]
    for role, title in (("goal", "goals"), ("guardrail", "guardrails")):
        rows = [one for one in result["comparisons"] if one["role"] == role]
        if rows:
            lines += ["", f"{title}, each at the level {result['level_each']:.3g}"]
            lines.append(_comparisons(rows))
    notes = [*result["notes"], *answer["notes"]]
    if notes:
        lines += ["", *(f"note: {note}" for note in notes)]
    return lines


def _head(answer: Mapping[str, Any]) -> Table:
    table = plain_table("", "")
    table.show_header = False
    table.columns[0].style = "bold"
    phase = answer["phase"]
    if answer["kept"]:
        phase = f"{phase}, {answer['kept']} is kept"
    last = answer["history"][-1] if answer["history"] else None
    table.add_row("experiment", Text(f"{answer['name']} of {answer['model']}"))
    table.add_row("phase", Text(phase))
    if last is not None:
        table.add_row("since", Text(f"{_time(last['at_ms'])}, {last['who']}: {last['why']}"))
    return table


def _variants(result: Mapping[str, Any]) -> Table:
    table = plain_table("variant", "version", "share", "units", "left out", "requests", "errors")
    for column in table.columns[1:]:
        column.justify = "right"
    for one in result["variants"]:
        table.add_row(
            Text(one["name"]),
            str(one["version"]),
            f"{one['weight']:g} %",
            f"{one['units']:,}",
            f"{one['mixed_units']:,}",
            _count(one["requests"]),
            _count(one["errors"]),
        )
    return table


def _comparisons(rows: list[Mapping[str, Any]]) -> Table:
    table = plain_table("metric", "variant", "finding", "what was seen")
    for one in rows:
        finding = one["finding"]
        table.add_row(
            Text(one["metric"]),
            Text(one["variant"]),
            Text(finding, _STYLES.get(finding, "")),
            Text(one["message"]),
        )
    return table


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _time(at_ms: int) -> str:
    from datetime import datetime

    return f"{datetime.fromtimestamp(at_ms / 1000).astimezone():%Y-%m-%d %H:%M:%S}"
