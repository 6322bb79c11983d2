"""OutputFolder: where the files of an output are. Each is there whole, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from penstock.core.errors import JobOutputError, may_pass
from penstock.jobs.batch.sink import OutputHold, Receipt
from penstock.jobs.batch.sinks.hashed_file import HashedFile


class UnfinishedFile(Protocol):
    """A file that nobody sees yet.

    Attributes:
        place: what messages call it.
        file: takes its bytes.
    """

    place: str
    file: HashedFile

    def publish(self) -> int:
        """Have it appear under its name, durably; one that is there is replaced.

        Returns:
            when it was changed last, see ``Receipt.mtime_ns``.

        Raises:
            JobOutputError: it cannot; nothing of it is visible.
        """
        ...

    def discard(self) -> None:
        """Forget it. Never raises."""
        ...


class OutputFolder(Protocol):
    """A folder. Any thread."""

    def clean(self, stale: str) -> None:
        """Make it, remove the file ``stale`` and all that is unfinished. Nobody else writes to it.

        Raises:
            JobOutputError: it cannot be reached, or not be written to.
        """
        ...

    def create(self, name: str) -> UnfinishedFile:
        """Begin a file.

        Raises:
            JobOutputError: as for ``clean``.
        """
        ...

    def holds(self, name: str, receipt: Receipt) -> bool:
        """Whether a file is there as it was written.

        Raises:
            JobOutputError: it cannot be looked at.
        """
        ...

    def names(self) -> Sequence[str]:
        """The files that are there; none where the folder is not.

        Raises:
            JobOutputError: it cannot be looked at.
        """
        ...

    def hold(self, state: Path) -> OutputHold | None:
        """See ``HoldsOutput``."""
        ...

    def tidy(self) -> None:
        """Remove what was only needed while files were written. Never raises."""
        ...


def write_failed(place: str, err: OSError) -> JobOutputError:
    """What is said of a file that cannot be written.

    Args:
        place: which.
        err: why; ``retryable`` where it may pass, as where a disk is full.
    """
    told = err.strerror or str(err) or type(err).__name__
    return JobOutputError(
        f"{place}: cannot be written: {told}; what is done is kept: see to it, and run the job "
        "again",
        retryable=may_pass(err),
    )
