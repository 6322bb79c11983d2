"""Journal: what became of each split, one line each, there for good before anyone is told."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import TypeAlias

import msgspec

from penstock.core.errors import JobFailed
from penstock.jobs.batch.durable import sync_folder, unwritable
from penstock.jobs.batch.report import SplitTally
from penstock.jobs.batch.sink import Receipt


class Done(msgspec.Struct, frozen=True, tag="done"):
    """A split whose part is in the output.

    Attributes:
        id: the split's id, which is its part's name.
        split: the split, as people read it.
        receipt: what the sink said of the part.
        tally: what is counted of it.
    """

    id: str
    split: str
    receipt: Receipt
    tally: SplitTally


class Skipped(msgspec.Struct, frozen=True, tag="skipped"):
    """A split that cannot be read and was left out; the next run tries it again.

    Attributes:
        id: the split's id.
        split: the split, as people read it.
        reason: why it cannot be read.
    """

    id: str
    split: str
    reason: str


class Redo(msgspec.Struct, frozen=True, tag="redo"):
    """A split that is done, and is to be done again.

    Attributes:
        id: the split's id.
    """

    id: str


class Planned(msgspec.Struct, frozen=True, tag="planned"):
    """A run began.

    Attributes:
        num_splits: how many splits the input has.
    """

    num_splits: int


Entry: TypeAlias = Done | Skipped | Redo | Planned


class Ledger:
    """What the lines of a journal come to.

    Attributes:
        done: the splits that are done, by id.
        skipped: the splits that were left out, by id.
        num_splits: how many splits the input had in the last run; 0: there was none.
    """

    def __init__(self) -> None:
        self.done: dict[str, Done] = {}
        self.skipped: dict[str, Skipped] = {}
        self.num_splits = 0

    def enter(self, entry: Entry) -> None:
        """Take a line in."""
        match entry:
            case Done():
                self.done[entry.id] = entry
                self.skipped.pop(entry.id, None)
            case Skipped():
                self.skipped[entry.id] = entry
            case Redo():
                self.done.pop(entry.id, None)
            case Planned():
                self.num_splits = entry.num_splits

    def tally(self) -> SplitTally:
        """What is counted of the splits that are done."""
        tallies = (entry.tally for entry in self.done.values())
        return reduce(SplitTally.plus, tallies, SplitTally())


class Journal(Ledger):
    """The lines of one job. Any thread; one process, which holds the state folder.

    Args:
        path: the file; it is made where it is not there. A last line that a crash has cut off is
            forgotten.

    Attributes:
        folder: where it is: the job's state folder.

    Raises:
        JobFailed: it is damaged.
        JobOutputError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self.folder = path.parent
        self._lock = threading.Lock()
        self._num_bytes = 0
        for entry, end in _read(path):
            self.enter(entry)
            self._num_bytes = end
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            with contextlib.ExitStack() as undo:
                undo.callback(os.close, self._file)
                os.ftruncate(self._file, self._num_bytes)
                os.fsync(self._file)
                sync_folder(path.parent)
                undo.pop_all()
        except OSError as err:
            raise unwritable(path, err) from err

    def append(self, entry: Entry) -> None:
        """Write a line; it is durable when this returns. Blocks.

        Raises:
            JobOutputError: it is not; the journal is as it was.
        """
        line = msgspec.json.encode(entry) + b"\n"
        with self._lock:
            try:
                _write_at(self._file, line, self._num_bytes)
                os.fsync(self._file)
            except OSError as err:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file, self._num_bytes)
                raise unwritable(self._path, err) from err
            self._num_bytes += len(line)
            self.enter(entry)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def read_ledger(path: Path) -> Ledger:
    """What a journal comes to that may be written to meanwhile; nothing where there is none.

    Raises:
        JobFailed: it is damaged, or cannot be read.
    """
    ledger = Ledger()
    for entry, _ in _read(path):
        ledger.enter(entry)
    return ledger


def _read(path: Path) -> Iterator[tuple[Entry, int]]:
    """Each line, and where it ends; a last one without its end is none.

    Raises:
        JobFailed: see ``read_ledger``.
    """
    decoder = msgspec.json.Decoder(Entry)
    number = end = 0
    try:
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    return
                number, end = number + 1, end + len(line)
                yield decoder.decode(line), end
    except FileNotFoundError:
        return
    except msgspec.MsgspecError as err:
        raise JobFailed(
            f"{path}:{number}: the journal is damaged ({err}); bring it back from a copy, or "
            f"remove the output and its state and run the job anew"
        ) from err
    except OSError as err:
        raise JobFailed(f"{path}: cannot be read: {err.strerror or err}", retryable=True) from err


def _write_at(file: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(file, data, offset)
        data, offset = data[written:], offset + written
