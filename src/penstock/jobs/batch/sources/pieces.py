"""Rows as they were parsed, to pieces of the asked size. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from penstock.jobs.batch.source import ReadRows


def pieces(runs: Iterable[ReadRows], max_rows: int, max_bytes: int) -> Iterator[ReadRows]:
    """The same rows in pieces that are as large as may be.

    Law: the pieces hold the rows of the runs, each once and in order; no piece has more than
    ``max_rows`` rows, nor more than ``max_bytes`` bytes unless it is a single row.

    Args:
        runs: rows that follow each other, of one schema; empty ones are left out.
        max_rows: >= 1.
        max_bytes: of Arrow data and of what is raw of bad rows.
    """
    held: list[ReadRows] = []
    rows = size = 0
    for part in _fitting(runs, max_bytes):
        part_bytes = num_bytes(part)
        if held and size + part_bytes > max_bytes:
            yield joined(held)
            held, rows, size = [], 0, 0
        while part.num_rows:
            taken = slice_rows(part, 0, min(part.num_rows, max_rows - rows))
            part = slice_rows(part, taken.num_rows, part.num_rows)
            held.append(taken)
            rows += taken.num_rows
            size += part_bytes if not part.num_rows else num_bytes(taken)
            if rows == max_rows:
                yield joined(held)
                held, rows, size = [], 0, 0
                part_bytes = num_bytes(part)
    if held:
        yield joined(held)


def slice_rows(run: ReadRows, start: int, stop: int) -> ReadRows:
    """The rows ``start`` to ``stop`` of a run, counted from its first one. Copies nothing."""
    if (start, stop) == (0, run.num_rows):
        return run
    first, last = run.first_row + start, run.first_row + stop
    before = sum(bad.row < first for bad in run.bad)
    bad = [one for one in run.bad if first <= one.row < last]
    batch = run.batch.slice(start - before, stop - start - len(bad))
    return ReadRows(first, batch, bad)


def joined(runs: Sequence[ReadRows]) -> ReadRows:
    """Runs that follow each other as one; at least one of them."""
    if len(runs) == 1:
        return runs[0]
    batch = pa.concat_batches([run.batch for run in runs])
    return ReadRows(runs[0].first_row, batch, [bad for run in runs for bad in run.bad])


def num_bytes(run: ReadRows) -> int:
    """What it holds in memory."""
    return int(run.batch.nbytes) + sum(len(bad.raw) for bad in run.bad)


def _fitting(runs: Iterable[ReadRows], max_bytes: int) -> Iterator[ReadRows]:
    """The same rows in parts of at most so many bytes, or of one row."""
    for run in runs:
        rest = run
        while rest.num_rows:
            part = rest
            while part.num_rows > 1 and (size := num_bytes(part)) > max_bytes:
                fitting = part.num_rows * max_bytes // size
                part = slice_rows(part, 0, max(1, min(fitting, part.num_rows - 1)))
            yield part
            rest = slice_rows(rest, part.num_rows, rest.num_rows)
