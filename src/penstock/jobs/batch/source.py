"""BatchSource: what a batch job reads. Reads a split the same way every time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from penstock.core.errors import PenstockError
from penstock.jobs.batch.split import Split

if TYPE_CHECKING:
    import pyarrow as pa


class BadRow(NamedTuple):
    """A row that could not be read, or that the model refused.

    Attributes:
        row: its number within its split, from 0.
        error: what is wrong with it.
        raw: what was read of it, cut after 64 KiB; b"": it is not known.
    """

    row: int
    error: PenstockError
    raw: bytes = b""


class ReadRows(NamedTuple):
    """Rows that follow each other.

    Law: its rows are those of the numbers ``first_row`` to ``first_row + num_rows``, each of them
    either in ``batch``, in order, or in ``bad``.

    Attributes:
        first_row: the number of the first, within its split.
        batch: the rows that could be read.
        bad: those that could not.
    """

    first_row: int
    batch: pa.RecordBatch
    bad: Sequence[BadRow] = ()

    @property
    def num_rows(self) -> int:
        """Rows, good and bad."""
        return int(self.batch.num_rows) + len(self.bad)


class BatchSource(Protocol):
    """An input. Every method blocks; ``read`` may be called by several threads at once."""

    def schema(self) -> pa.Schema:
        """The columns that reads give: every ``batch`` of every split is of this very schema.

        Told by the input's start (the first file, the table's declaration) and by what the job says
        of its types; later parts are brought to it, or refused. Without metadata of a library.

        Raises:
            JobInputError: there is nothing to tell it by, or it cannot be looked at.
        """
        ...

    def only(self, columns: Collection[str]) -> BatchSource:
        """The same input, of which reads give these columns alone, in the order of ``schema()``.

        Splits and the numbers of rows stay what they are; the rest is not read where the format
        allows that. What is wrong with a value of another column may go unseen.

        Raises:
            JobInputError: it has no such column, or ``schema()`` raises it.
            ConfigError: no column is asked for.
        """
        ...

    def plan(self) -> Iterator[Split]:
        """Every split, in an order that is always the same.

        Raises:
            JobInputError: there is nothing to read, or it cannot be looked at.
        """
        ...

    def read(self, split: Split, max_rows: int, max_bytes: int) -> Iterator[ReadRows]:
        """The rows of a split, in order.

        Law: the same split, rows and bytes give the same pieces, whenever and wherever.

        Args:
            split: one that was planned.
            max_rows: the most rows of a piece.
            max_bytes: about the most bytes of a piece; one row may be larger.

        Raises:
            JobInputError: it cannot be read, or is another one than was planned; ``retryable``
                tells whether another try may help.
        """
        ...

    def close(self) -> None:
        """Give back connections and files."""
        ...
