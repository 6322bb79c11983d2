"""LocalFolder: an output on a file system of this machine."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from penstock.jobs.batch.durable import sync_folder
from penstock.jobs.batch.sink import Receipt
from penstock.jobs.batch.sinks.hashed_file import HashedFile
from penstock.jobs.batch.sinks.output_folder import write_failed

UNFINISHED = "_tmp"
"""The folder below the output where files are while they are written."""

_BUFFER_BYTES = 1024 * 1024


class LocalFolder:
    """Writes beside, syncs, renames, and syncs the folder.

    Args:
        path: the folder; made when it is first needed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def clean(self, stale: str) -> None:
        """See ``OutputFolder``."""
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            sync_folder(self._path.parent)
            (self._path / stale).unlink(missing_ok=True)
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(self._path / UNFINISHED)
            sync_folder(self._path)
        except OSError as err:
            raise write_failed(str(self._path), err) from err

    def create(self, name: str) -> _LocalFile:
        """See ``OutputFolder``."""
        return _LocalFile(self._path, name)

    def holds(self, name: str, receipt: Receipt) -> bool:
        """See ``OutputFolder``; a file of the same size and time is believed, one of the same size
        alone is read.
        """
        path = self._path / name
        try:
            found = path.stat()
            if found.st_size != receipt.num_bytes:
                return False
            if found.st_mtime_ns == receipt.mtime_ns:
                return True
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == receipt.digest
        except FileNotFoundError:
            return False
        except OSError as err:
            raise write_failed(str(path), err) from err

    def names(self) -> Sequence[str]:
        """See ``OutputFolder``."""
        try:
            return [path.name for path in self._path.iterdir()]
        except FileNotFoundError:
            return []
        except OSError as err:
            raise write_failed(str(self._path), err) from err

    def hold(self, state: Path) -> None:
        """None: the hold of ``state`` is on this file system."""

    def tidy(self) -> None:
        """See ``OutputFolder``."""
        shutil.rmtree(self._path / UNFINISHED, ignore_errors=True)


class _LocalFile:
    """A file beside the others until it is renamed."""

    def __init__(self, folder: Path, name: str) -> None:
        self._target = folder / name
        self.place = str(self._target)
        self._path = folder / UNFINISHED / f"{name}.{secrets.token_hex(4)}"
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._inner = self._path.open("xb", buffering=_BUFFER_BYTES)
        except OSError as err:
            raise write_failed(self.place, err) from err
        self.file = HashedFile(self._inner)

    def publish(self) -> int:
        """See ``UnfinishedFile``."""
        try:
            self._inner.flush()
            os.fsync(self._inner.fileno())
            mtime_ns = os.fstat(self._inner.fileno()).st_mtime_ns
            self._inner.close()
            self._rename()
        except OSError as err:
            raise write_failed(self.place, err) from err
        return mtime_ns

    def _rename(self) -> None:
        """Rename it, durably; where only the rename fails, one that was there stays."""
        self._path.replace(self._target)
        try:
            sync_folder(self._target.parent)
        except OSError:
            self._target.unlink(missing_ok=True)  # its name may not last: it is not there
            raise

    def discard(self) -> None:
        """See ``UnfinishedFile``."""
        with contextlib.suppress(OSError):
            self._inner.close()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
