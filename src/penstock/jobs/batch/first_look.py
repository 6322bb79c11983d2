"""The first look at a job's rows: their schema, and the batch size that is the fastest on them."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import NamedTuple

from penstock.core.clock import Clock
from penstock.core.errors import JobInputError, PenstockError
from penstock.jobs.batch.batch_size import Try, best_size, measure_sizes
from penstock.jobs.batch.options import RunOptions
from penstock.jobs.batch.parts import Cut, JobParts, cut_rows, piece_bytes_for
from penstock.jobs.batch.predict_rows import Rows
from penstock.jobs.batch.read_rows import RowReader
from penstock.jobs.batch.text_order import takes_text
from penstock.jobs.batch.work import Work
from penstock.jobs.predictor import Predictor

SAMPLE_ROWS = 8192
_UNKNOWN_ROWS = 256
_PIECE_S = 0.25
_TEXT_PIECE_S = 0.75
_MOST_PIECE_ROWS = 65536


class FirstLook(NamedTuple):
    """What a job needs to know before it begins.

    Attributes:
        cut: how rows are cut.
        schema: of the rows that are predicted, as Arrow's IPC format has it.
    """

    cut: Cut
    schema: bytes


def look(
    parts: JobParts,
    plan: Iterable[Work],
    options: RunOptions,
    stop: threading.Event,
) -> FirstLook:
    """Look at the first rows.

    Args:
        parts: the job.
        plan: its splits, in order.
        options: how it is run.
        stop: ends it.

    Raises:
        JobInputError: nothing can be read.
        LoadFailed: the model does not load.
    """
    piece_bytes = piece_bytes_for(options.memory_bytes, options.workers, options.readers)
    sample = Cut(SAMPLE_ROWS, SAMPLE_ROWS, piece_bytes)
    reader = RowReader(parts.source, parts.transform, sample, options.patience, options.clock)
    rows = _first_rows(parts, reader, plan, stop)
    schema = parts.source.schema() if rows is None else rows.batch.schema.remove_metadata()
    if options.batch_rows is not None or rows is None or not rows.batch.num_rows:
        cut = cut_rows(options.batch_rows or _UNKNOWN_ROWS, piece_bytes)
    else:
        predictor = parts.predictors.open()
        try:
            cut = _fastest(parts, rows, predictor, piece_bytes, options.clock)
        finally:
            predictor.close()
    return FirstLook(cut, schema.serialize().to_pybytes())


def _first_rows(
    parts: JobParts, reader: RowReader, plan: Iterable[Work], stop: threading.Event
) -> Rows | None:
    """The first rows that fit the model; none of them, but a schema, where all is empty."""
    empty: Rows | None = None
    failed: JobInputError | None = None
    for work in plan:
        try:
            for piece in reader.pieces(work.split, stop):
                if piece.rows.batch.num_rows:
                    parts.columns.to_tensors(piece.rows.batch)
                    return piece.rows
                empty = empty or piece.rows
        except JobInputError as err:
            if err.retryable:
                raise
            failed = failed or err
    if empty is None and failed is not None:
        raise failed
    return empty


def _fastest(
    parts: JobParts, rows: Rows, predictor: Predictor, piece_bytes: int, clock: Clock
) -> Cut:
    tensors, _ = parts.columns.to_tensors(rows.batch)
    num_rows = len(tensors[0].array)
    if not num_rows:
        return cut_rows(_UNKNOWN_ROWS, piece_bytes)

    def try_rows(start: int, stop: int) -> PenstockError | MemoryError | None:
        try:
            predictor.predict(tuple(one.rows(start, stop) for one in tensors))
        except (PenstockError, MemoryError) as err:
            return err
        return None

    attempt: Try = try_rows
    rates = measure_sizes(attempt, num_rows, SAMPLE_ROWS, clock)
    batch_rows = best_size(rates)
    piece_s = _TEXT_PIECE_S if takes_text(parts.predictors.signature) else _PIECE_S
    about_rows = min(_MOST_PIECE_ROWS, max(batch_rows, int(rates[batch_rows] * piece_s)))
    return cut_rows(batch_rows, piece_bytes, about_rows)
