"""BatchSink: where a batch job writes. A part is there as a whole, or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import msgspec

if TYPE_CHECKING:
    import pyarrow as pa


class Receipt(msgspec.Struct, frozen=True):
    """A part that is there for good.

    Attributes:
        rows: how many rows it has.
        num_bytes: its size; 0 where a table takes it.
        digest: sha256 (hex) of its bytes; "" where a table takes it.
        mtime_ns: when its file was changed last, as its file system says; 0: it has none.
    """

    rows: int
    num_bytes: int = 0
    digest: str = ""
    mtime_ns: int = 0


class PartWriter(Protocol):
    """Writes one part. Blocks; one thread at a time."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows, all of one schema.

        Raises:
            JobOutputError: they cannot be written; ``retryable`` tells whether it may pass.
        """
        ...

    def commit(self) -> Receipt:
        """Make the part appear: durable, whole and under its name when this returns. A part of
        this name that is there already is replaced by this one.

        Raises:
            JobOutputError: as for ``write``; nothing of it is visible then.
        """
        ...

    def abort(self) -> None:
        """Forget what was written. Never raises."""
        ...


class BatchSink(Protocol):
    """An output. Blocks; several parts may be written at once, each by one thread."""

    def open(self, split_id: str, schema: pa.Schema) -> PartWriter:
        """Begin the part of a split.

        Raises:
            JobOutputError: the output cannot be reached, or does not take this schema.
        """
        ...

    def holds(self, split_id: str, receipt: Receipt) -> bool:
        """Whether the part is still there as it was committed."""
        ...

    def begin(self) -> None:
        """Before a run: remove what dead writers have left unfinished, and the mark that says that
        an earlier run was whole. Nobody else writes to this output.

        Raises:
            JobOutputError: the output cannot be reached.
        """
        ...

    def finish(self, summary: bytes) -> None:
        """After a run in which every row found its place: mark the output as whole (``_SUCCESS``
        with the summary, where it is files).

        Raises:
            JobOutputError: as for ``open``.
        """
        ...

    def close(self) -> None:
        """Give back connections."""
        ...


@runtime_checkable
class ListsParts(Protocol):
    """What a sink has besides, where its parts can be told apart: those of another job are seen."""

    def part_ids(self) -> Iterable[str]:
        """The splits whose parts are in the output, whoever wrote them.

        Raises:
            JobOutputError: the output cannot be reached.
        """
        ...
