"""JobParts: what a batch job is put together from; and how its rows are cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec
import pyarrow as pa

from penstock.core.byte_size import show_bytes
from penstock.core.errors import ConfigError
from penstock.core.tensor import Tensor
from penstock.jobs.batch.columns import ColumnMap
from penstock.jobs.batch.sink import BatchSink
from penstock.jobs.batch.source import BatchSource
from penstock.jobs.batch.transform import Transform
from penstock.jobs.predictor import Predictors

_LARGEST_PIECE_BYTES = 16 * 1024**2
_LEAST_PIECE_BYTES = 64 * 1024


class Outputs(Protocol):
    """Makes rows of the output. Immutable; any thread."""

    @property
    def schema(self) -> pa.Schema:
        """Of every part."""
        ...

    def to_batch(self, outputs: tuple[Tensor, ...], kept: pa.RecordBatch) -> pa.RecordBatch:
        """Predictions and the rows they are of.

        Raises:
            JobInputError: a column that goes along is missing or of another type.
        """
        ...


class JobParts(NamedTuple):
    """A job, opened.

    Attributes:
        source: what it reads.
        sink: what it writes to.
        predictors: the model.
        columns: which columns make the model's inputs.
        open_outputs: what makes rows of the output, from the schema that the rows have when they
            are predicted; raises ConfigError.
        spec_digest: of those fields of the job that change what is written.
        state: the folder of this machine where it keeps what it has done.
        transform: what changes the rows before.
    """

    source: BatchSource
    sink: BatchSink
    predictors: Predictors
    columns: ColumnMap
    open_outputs: Callable[[pa.Schema], Outputs]
    spec_digest: str
    state: Path
    transform: Transform

    def close(self) -> None:
        """Give back all of it."""
        self.source.close()
        self.sink.close()
        self.transform.close()
        self.predictors.close()


class Cut(msgspec.Struct, frozen=True):
    """How the rows of a split are cut; the same for the whole life of a job.

    Attributes:
        batch_rows: the most rows that the model is given together.
        piece_rows: the most rows that are read together, a multiple of it.
        piece_bytes: about the most bytes of them.
    """

    batch_rows: int
    piece_rows: int
    piece_bytes: int


class Room(NamedTuple):
    """What of a job's memory lies where, in bytes.

    Attributes:
        read: in the queue of what was read.
        predicted: in the queue of what was predicted.
    """

    read: int
    predicted: int


def cut_rows(batch_rows: int, piece_bytes: int, about_rows: int = 8192) -> Cut:
    """How to cut rows. Pure.

    Args:
        batch_rows: the most rows of a batch.
        piece_bytes: about the most bytes of a piece.
        about_rows: how many rows are worth a hand-over between threads.
    """
    piece_rows = batch_rows * max(1, about_rows // batch_rows)
    return Cut(batch_rows=batch_rows, piece_rows=piece_rows, piece_bytes=piece_bytes)


def piece_bytes_for(memory_bytes: int, workers: int, readers: int) -> int:
    """About the most bytes of rows that are read together, so that ``room_for`` finds room. Pure.

    It is the same for all jobs but those with little memory for their workers.
    """
    fitting = memory_bytes // (2 * workers * (readers + 3))
    return max(_LEAST_PIECE_BYTES, min(_LARGEST_PIECE_BYTES, fitting))


def room_for(cut: Cut, memory_bytes: int, copies: int, readers: int) -> Room:
    """Share the memory out. Pure.

    A quarter of it is for the two queues, half for what threads have in their hands (a reader one
    piece, a copy of the model two, the writer one), the rest for what libraries hold.

    Raises:
        ConfigError: the pieces are too large for it.
    """
    in_hands = cut.piece_bytes * (readers + 2 * copies + 1)
    if in_hands > memory_bytes // 2:
        raise ConfigError(
            f"memory: {show_bytes(memory_bytes)} are too little for {copies} copies of the model "
            f"and pieces of {show_bytes(cut.piece_bytes)}: expected at least "
            f"{show_bytes(2 * in_hands, round_up=True)}; a job that was begun keeps the pieces it "
            f"began with"
        )
    return Room(memory_bytes // 8, memory_bytes // 8)
