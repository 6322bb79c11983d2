"""BatchSink: where a batch job writes. A part is there as a whole, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
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


class OutputHold(Protocol):
    """The right to be the only runner that writes to an output."""

    def take(self, stop: threading.Event) -> bool:
        """Have it; this may wait for the end of another one's.

        Args:
            stop: ends the waiting.

        Returns:
            whether it is had; not where the output has no means for it.

        Raises:
            Cancelled: it was stopped while it waited.
            JobFailed: another runner has it; the message says who.
            JobOutputError: the output cannot be reached.
        """
        ...

    def check(self) -> None:
        """See that it is still had. Any thread.

        Raises:
            JobFailed: it is not.
        """
        ...

    def close(self) -> None:
        """Give it back. Never raises."""
        ...


@runtime_checkable
class HoldsOutput(Protocol):
    """What a sink has besides, where runners on other machines may write to the same output."""

    def hold(self, state: Path) -> OutputHold | None:
        """What keeps others away; None: the hold of the state folder does.

        Args:
            state: the runner's state folder, which it holds.

        Raises:
            JobOutputError: the state folder cannot be written.
        """
        ...
