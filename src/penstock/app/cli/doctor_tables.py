"""What ``penstock doctor`` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from penstock.app.cli.checks import Check
from penstock.app.cli.model_tables import plain_table

_STYLES = {"ok": "green", "missing": "yellow", "warning": "yellow", "broken": "red"}


def settings_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Settings with their values and origins; what is no default stands out."""
    table = plain_table("setting", "value", "from")
    for row in rows:
        style = "dim" if row["origin"] == "default" else ""
        table.add_row(
            Text(row["name"]), Text(_value(row["value"])), Text(row["origin"]), style=style
        )
    return table


def checks_table(checks: Sequence[Check]) -> Table:
    """Checks with their findings and what to do about them."""
    table = plain_table("check", "status", "found")
    for check in checks:
        found = Text(check.detail)
        if check.fix:
            found.append(": " if check.detail else "")
            found.append(check.fix, "bold")
        table.add_row(Text(check.name), Text(check.status, _STYLES[check.status]), found)
    return table


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "-"
    return f"{value:g}" if isinstance(value, float) else str(value)
