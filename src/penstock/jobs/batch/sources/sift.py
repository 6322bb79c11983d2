"""Which of many records cannot be read: parse all, and halve what fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import pyarrow as pa

from penstock.core.errors import InvalidArgument
from penstock.jobs.batch.source import BadRow, ReadRows

T = TypeVar("T")

MAX_RAW_BYTES = 64 * 1024
"""How much is kept of a row that cannot be read."""

REFUSALS = (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeError)
"""What parsers raise of records that they cannot read."""

_MAX_REASON = 300


def sift(
    records: Sequence[T],
    parse: Callable[[Sequence[T]], pa.RecordBatch],
    raw: Callable[[T], bytes],
    first_row: int,
) -> ReadRows:
    """Parse records, together where all are good: one bad one costs two parses of each of them.

    Args:
        records: at least one.
        parse: gives a row for each record, and none for none; or raises one of ``REFUSALS``. Law:
            it takes records together if, and only if, it takes each by itself.
        raw: what is kept of a bad one, which is cut after 64 KiB.
        first_row: the number of the first.
    """
    good: list[pa.RecordBatch] = []
    bad: list[BadRow] = []
    todo = [(0, len(records))]
    while todo:
        start, stop = todo.pop()
        try:
            good.append(parse(records[start:stop]))
        except REFUSALS as err:
            if stop - start == 1:
                bad.append(bad_row(first_row + start, err, raw(records[start])))
            else:
                middle = (start + stop) // 2
                todo += [(middle, stop), (start, middle)]
    batch = pa.concat_batches(good) if good else parse([])
    return ReadRows(first_row, batch, bad)


def bad_row(row: int, reason: Exception | str, raw: bytes) -> BadRow:
    """A row that cannot be read, with why in one line."""
    text = " ".join(str(reason).split())[:_MAX_REASON]
    return BadRow(row, InvalidArgument(f"the row cannot be read: {text}"), raw[:MAX_RAW_BYTES])
