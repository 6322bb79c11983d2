"""Files of outcomes: CSV or JSON Lines, sent in parts, and what became of each line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple, Protocol

from penstock.core.errors import InvalidArgument

_ROWS_AT_ONCE = 2000
_MAX_SHOWN = 20
_COLUMNS = ("prediction_id", "metric", "value")
_YES_NO = {"true": True, "false": False}


class OutcomeLine(NamedTuple):
    """One outcome of a file.

    Attributes:
        number: of its line, from 1.
        row: as the server takes it.
    """

    number: int
    row: Any


class Poster(Protocol):
    """Who sends; a ServerClient."""

    def post(self, path: str, value: Any = None) -> Any:
        """The JSON of a POST of JSON."""
        ...


@dataclass(slots=True)
class SentOutcomes:
    """What became of a file.

    Attributes:
        taken: how many were kept.
        duplicates: lines that told a metric of a prediction once more.
        unknown: lines of predictions that are not known (yet).
        rejected: lines that are wrong, the field, and why.
    """

    taken: int = 0
    duplicates: list[int] = field(default_factory=list)
    unknown: list[int] = field(default_factory=list)
    rejected: list[tuple[int, str, str]] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        rejected = [
            {"line": line, "field": name, "message": text} for line, name, text in self.rejected
        ]
        return {
            "taken": self.taken,
            "duplicates": self.duplicates,
            "unknown": self.unknown,
            "rejected": rejected,
        }

    def complaints(self) -> Iterator[str]:
        """A line for each of the first lines that were refused."""
        for line, name, text in self.rejected[:_MAX_SHOWN]:
            yield f"line {line}: {name}: {text}" if name else f"line {line}: {text}"
        if len(self.rejected) > _MAX_SHOWN:
            yield f"... and {len(self.rejected) - _MAX_SHOWN:,} more lines"

    def summary(self) -> str:
        """One line for a person."""
        parts = [f"{self.taken:,} outcomes taken"]
        if self.unknown:
            parts.append(f"{len(self.unknown):,} of them kept aside: prediction not known (yet)")
        if self.duplicates:
            parts.append(f"{len(self.duplicates):,} told before, which count once")
        if self.rejected:
            parts.append(f"{len(self.rejected):,} refused")
        return "; ".join(parts)


def read_outcomes(content: bytes, where: str) -> Iterable[OutcomeLine]:
    """The outcomes of a file.

    Args:
        content: JSON Lines (an object each line), or CSV whose first line names the columns.
        where: what errors call it.

    Raises:
        InvalidArgument: it is neither.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        raise InvalidArgument(f"{where}: not UTF-8 text (byte {err.start})") from err
    if not text.strip():
        raise InvalidArgument(f"{where}: is empty")
    return _json_lines(text) if text.lstrip()[0] == "{" else _csv(text, where)


def send_outcomes(client: Poster, lines: Iterable[OutcomeLine]) -> SentOutcomes:
    """Send outcomes, a part at a time.

    Raises:
        PenstockError: the server cannot take them now; the parts before are taken, and may be sent
            again: they count once.
    """
    sent, rest = SentOutcomes(), iter(lines)
    while part := list(islice(rest, _ROWS_AT_ONCE)):
        told = client.post("/v2/outcomes", {"outcomes": [line.row for line in part]})
        _add(sent, part, told)
    return sent


def _add(sent: SentOutcomes, part: Sequence[OutcomeLine], told: dict[str, Any]) -> None:
    sent.taken += told["taken"]
    sent.duplicates += [part[row - 1].number for row in told["duplicates"]]
    sent.unknown += [part[row - 1].number for row in told["unknown"]]
    for one in told["rejected"]:
        sent.rejected.append((part[one["row"] - 1].number, one["field"], one["message"]))


def _json_lines(text: str) -> Iterator[OutcomeLine]:
    """A line that is no JSON goes as its text: the server says what it should be."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                yield OutcomeLine(number, json.loads(line))
            except ValueError:
                yield OutcomeLine(number, line)


def _csv(text: str, where: str) -> Iterator[OutcomeLine]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader)]
        absent = [name for name in _COLUMNS if name not in header]
        if absent:
            raise InvalidArgument(
                f"{where}:1: expected the columns {', '.join(_COLUMNS)} and perhaps at_ms, got "
                f"{', '.join(header)[:80]}"
            )
        for row in reader:
            if row:
                cells = dict(zip(header, row, strict=False))
                is_whole = len(row) == len(header)
                yield OutcomeLine(reader.line_num, _typed(cells) if is_whole else row)
    except csv.Error as err:
        raise InvalidArgument(f"{where}:{reader.line_num}: not valid CSV: {err}") from err


def _typed(cells: dict[str, str]) -> dict[str, Any]:
    """A line's cells as JSON has them: numbers and yes or no where they read so."""
    row: dict[str, Any] = dict(cells)
    row["value"] = _value(cells["value"].strip())
    at_ms = cells.get("at_ms", "").strip()
    if not at_ms:
        row.pop("at_ms", None)
    elif at_ms.isdecimal():
        row["at_ms"] = int(at_ms)
    return row


def _value(cell: str) -> Any:
    if cell.lower() in _YES_NO:
        return _YES_NO[cell.lower()]
    try:
        return json.loads(cell) if cell else None
    except ValueError:
        return cell
