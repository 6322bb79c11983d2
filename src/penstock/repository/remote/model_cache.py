"""ModelCache: downloaded files on this disk, each under the digest of its content.

::

    blobs/SHA256        the files, read-only; a server that uses one holds a hard link to it
    names/IDENTITY      which digest a store's file had
    partial/IDENTITY    what is being downloaded, or was
    listings/KEY        what was last brought of an address, for a start without the store
    runs/ID/            the folders of one running server; its lock tells whether it lives
    locks/, lock        who may download a file; who may add and remove
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec

from penstock.core.clock import Clock
from penstock.core.errors import LoadFailed
from penstock.repository.remote.blob_eviction import KeptFile, choose_victims
from penstock.repository.remote.download import download
from penstock.repository.remote.file_lock import locked, try_lock
from penstock.repository.remote.remote_file import RemoteFile
from penstock.repository.remote.remote_store import RemoteStore

_FOLDERS = ("blobs", "names", "partial", "listings", "runs", "locks")
_CANNOT_LINK = (errno.EPERM, errno.EOPNOTSUPP, errno.EXDEV, errno.EMLINK)
_EPOCH_NS = 946_684_800_000_000_000


class CacheOptions(msgspec.Struct, frozen=True):
    """Where downloads are kept.

    Attributes:
        path: the folder; made where it is not there.
        max_bytes: the most that everything in it may take.
    """

    path: Path
    max_bytes: int


class ModelCache:
    """Downloaded files. Several processes may share one; every method blocks.

    Args:
        options: where, and how much.
        clock: where time comes from.
    """

    def __init__(self, options: CacheOptions, clock: Clock) -> None:
        self._path = options.path
        self._max_bytes = options.max_bytes
        self._clock = clock

    def run_folder(self) -> Path:
        """A folder for a server of its own, not made yet. Touches no disk."""
        return self._path / "runs" / uuid.uuid4().hex

    def open_run(self, folder: Path) -> int:
        """Make a server's folder, and remove those of servers that ended.

        Returns:
            An open file: until it is closed, or the process ends, the folder stays.

        Raises:
            LoadFailed: the cache cannot be written.
        """
        try:
            for name in _FOLDERS:
                (self._path / name).mkdir(mode=0o700, parents=True, exist_ok=True)
            with locked(self._path / "lock"):
                self._remove_dead_runs()
                folder.mkdir(mode=0o700)
                handle = try_lock(folder / "lock")
        except OSError as err:
            text = f"model_cache.path: {self._path} cannot be written: {err.strerror or err}"
            raise LoadFailed(text) from err
        assert handle is not None  # noqa: S101 - nobody else knows this folder
        return handle

    def take(self, identity: str, size_bytes: int | None, into: Path) -> bool:
        """Put a file that is here at ``into``; False: it is not here."""
        with locked(self._path / "lock"):
            return self._take(identity, size_bytes, into)

    def fetch(
        self,
        file: RemoteFile,
        identity: str,
        store: RemoteStore,
        into: Path,
        shown: str,
    ) -> None:
        """Put a file at ``into``, downloaded if it is not here yet.

        Laws: whatever the number of processes, it is downloaded once; what is under its digest
        is whole and verified; what somebody uses is not removed.

        Args:
            file: what is known of it.
            identity: the name of this content at its store.
            store: gives its bytes.
            into: where to; not there yet.
            shown: the address for messages.

        Raises:
            LoadFailed: it is not what it should be, or there is no room for it.
            Exception: what ``store`` raises.
        """
        partial = self._path / "partial" / identity
        with locked(self._path / "locks" / identity[:2]):
            if self.take(identity, file.size_bytes, into):
                return
            sha256 = download(
                partial,
                file,
                functools.partial(store.read, file),
                lambda num_bytes: self._make_room(num_bytes, partial, shown),
                shown,
            )
            _confirm(store, file, partial)
            _sync(partial)
            with locked(self._path / "lock"):
                self._keep(partial, sha256)
                _write_whole(self._path / "names" / identity, sha256.encode())
                if not self._take(identity, file.size_bytes, into):
                    raise LoadFailed(f"{shown}: went from {self._path} at once", retryable=True)

    def save_listing(self, key: str, content: bytes) -> None:
        """Remember what was brought of an address."""
        _write_whole(self._path / "listings" / key, content)

    def load_listing(self, key: str) -> bytes:
        """What was brought of an address when it was last reached; empty: never."""
        try:
            return (self._path / "listings" / key).read_bytes()
        except OSError:
            return b""

    def _take(self, identity: str, size_bytes: int | None, into: Path) -> bool:
        """As ``take``; under the lock."""
        try:
            blob = self._path / "blobs" / (self._path / "names" / identity).read_text("ascii")
            status = blob.stat()
            if size_bytes is not None and status.st_size != size_bytes:
                blob.unlink()  # somebody else wrote here
                return False
        except (OSError, ValueError):
            return False
        into.parent.mkdir(parents=True, exist_ok=True)
        os.utime(blob, ns=(self._clock.wall_ns(), status.st_mtime_ns))
        try:
            os.link(blob, into)
        except OSError as err:
            if err.errno not in _CANNOT_LINK:
                raise
            shutil.copy2(blob, into)
        return True

    def _keep(self, partial: Path, sha256: str) -> None:
        """Give a whole file its place, under the lock.

        Its time of modification stands for its content, so that a version has the same revision
        after every start and on every machine.
        """
        mtime_ns = _EPOCH_NS + int(sha256[:12], 16)
        os.utime(partial, ns=(self._clock.wall_ns(), mtime_ns))
        partial.chmod(0o444)
        partial.replace(self._path / "blobs" / sha256)

    def _make_room(self, wanted_bytes: int, partial: Path, shown: str) -> None:
        """Remove what was not used for longest until this fits.

        Raises:
            LoadFailed: it does not fit beside what is in use.
        """
        with locked(self._path / "lock"):
            self._remove_dead_runs()
            kept = [file for file in self._kept() if file.path != partial]
            victims = choose_victims(kept, wanted_bytes, self._max_bytes)
            if victims is None:
                used = sum(file.size_bytes for file in kept if file.is_in_use)
                raise LoadFailed(
                    f"{shown}: takes {wanted_bytes} bytes, and {used} of the {self._max_bytes} "
                    f"bytes of {self._path} are in use: raise model_cache.max_bytes"
                )
            for file in victims:
                file.path.unlink(missing_ok=True)
            if victims:
                self._forget({file.path.name for file in victims})

    def _forget(self, digests: set[str]) -> None:
        """Remove the names of contents that are gone."""
        for name in (self._path / "names").iterdir():
            if name.read_text("ascii", "replace") in digests:
                name.unlink()

    def _kept(self) -> Iterator[KeptFile]:
        """Every file that takes room. A half download counts as used while it may grow."""
        for blob in (self._path / "blobs").iterdir():
            status = blob.stat()
            yield KeptFile(blob, status.st_size, status.st_atime_ns, status.st_nlink > 1)
        for partial in (self._path / "partial").iterdir():
            lock = try_lock(self._path / "locks" / partial.name[:2])
            if lock is not None:
                os.close(lock)
            with contextlib.suppress(FileNotFoundError):  # it became a blob just now
                status = partial.stat()
                yield KeptFile(partial, status.st_size, status.st_mtime_ns, lock is None)

    def _remove_dead_runs(self) -> None:
        """Remove the folders of servers that ended, however they did; under the lock."""
        for run in (self._path / "runs").iterdir():
            try:
                handle = try_lock(run / "lock")
            except OSError:
                continue
            if handle is not None:
                shutil.rmtree(run, ignore_errors=True)
                os.close(handle)


def _confirm(store: RemoteStore, file: RemoteFile, partial: Path) -> None:
    """See that what came is not a mixture of two files; what is goes.

    Raises:
        ConnectionError: it may be one.
    """
    if not (file.sha256 or file.md5):
        try:
            store.confirm(file)
        except ConnectionError:
            partial.unlink()
            raise


def _write_whole(path: Path, content: bytes) -> None:
    """Write a small file so that nobody ever sees half of it."""
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    beside.write_bytes(content)
    beside.replace(path)


def _sync(path: Path) -> None:
    """See that a file's bytes are on the disk before its name says that they are."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
