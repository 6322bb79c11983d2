"""ObjectFolder: an output in an object store, through fsspec."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from penstock.core.errors import ConfigError, JobOutputError, may_pass
from penstock.jobs.batch.patience import Patience
from penstock.jobs.batch.sink import Receipt
from penstock.jobs.batch.sinks.hashed_file import HashedFile
from penstock.jobs.batch.sinks.output_folder import write_failed
from penstock.jobs.batch.sinks.store_hold import StoreHold, owner_of
from penstock.repository.remote.remote_fault import status_of
from penstock.repository.remote.remote_url import parse_remote_url

T = TypeVar("T")

MEMORY = "memory"
"""The scheme of a store in this process's memory, for tests and trials."""

_EXTRAS: Mapping[str, str] = {"s3": "s3", "gs": "gcs", "az": "azure", MEMORY: "batch"}
_PASSING_STATUSES = (408, 425, 429)
_PATIENCE = Patience(first_wait_s=0.5)
"""How often a store is asked that does not do something now; its client has tried, too."""


class ObjectFolder:
    """Collects a file on this machine's disk, then uploads it: a store shows whole objects only.

    Credentials, regions and endpoints are taken where the store's own client takes them. What may
    pass is tried again, with growing waits.

    Args:
        url: ``s3://bucket/path``, ``gs://bucket/path``, ``az://container/path``.

    Raises:
        ConfigError: another scheme, a wrong URL, or the package for the store is not installed.
    """

    def __init__(self, url: str) -> None:
        scheme, _, place = url.partition("://")
        if scheme not in _EXTRAS:
            known = ", ".join(f"{name}://" for name in _EXTRAS if name != MEMORY)
            raise ConfigError(
                f"output.path: {scheme}:// is no place that a job can write to; expected a local "
                f"folder, or {known}"
            )
        self._place = f"/{place.strip('/')}" if scheme == MEMORY else parse_remote_url(url).place
        self._url = f"{scheme}://{place.rstrip('/')}"
        self._files = _open_files(scheme)
        self._spool = _spool_folder(self._url)

    def clean(self, stale: str) -> None:
        """See ``OutputFolder``."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._spool)
        self._ask(stale, lambda: self._remove(stale))

    def create(self, name: str) -> _ObjectFile:
        """See ``OutputFolder``."""
        place = f"{self._url}/{name}"
        return _ObjectFile(self._spool, place, lambda path: self._upload(path, name))

    def holds(self, name: str, receipt: Receipt) -> bool:
        """See ``OutputFolder``; an object of the same size is believed."""
        try:
            info = self._ask(name, lambda: self._files.info(f"{self._place}/{name}"))
        except JobOutputError as err:
            if isinstance(err.__cause__, FileNotFoundError):
                return False
            raise
        return bool(info["size"] == receipt.num_bytes)

    def names(self) -> Sequence[str]:
        """See ``OutputFolder``."""

        def listed() -> Sequence[str]:
            self._files.invalidate_cache()
            with contextlib.suppress(FileNotFoundError):
                return [str(path).rpartition("/")[2] for path in self._files.ls(self._place, False)]
            return []

        return self._ask("", listed)

    def hold(self, state: Path) -> StoreHold:
        """See ``OutputFolder``."""
        return StoreHold(self._url, self._place, self._files, self._ask, owner_of(state))

    def tidy(self) -> None:
        """See ``OutputFolder``."""
        shutil.rmtree(self._spool, ignore_errors=True)

    def _remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._files.rm_file(f"{self._place}/{name}")

    def _upload(self, path: Path, name: str) -> None:
        self._ask(name, lambda: self._files.put_file(str(path), f"{self._place}/{name}"))

    def _ask(self, name: str, work: Callable[[], T]) -> T:
        """Do something with the store, again where it may work then.

        Raises:
            JobOutputError: it does not work; what the client says may hold a secret, and is not
                repeated.
        """

        def attempt() -> T:
            try:
                return work()
            except Exception as err:
                status = status_of(err)
                told = f"status {status}" if status else type(err).__name__
                is_passing = _is_passing(err, status)
                times = f", {_PATIENCE.attempts} times" if is_passing else ""
                raise JobOutputError(
                    f"{self._url}/{name}: the store does not do it{times}: {told}; check that the "
                    "place is there, the credentials and their rights, and the network, then run "
                    "the job again",
                    retryable=is_passing,
                ) from err

        return _PATIENCE.call(attempt, threading.Event())


class _ObjectFile:
    """A file on this machine's disk until it is uploaded."""

    def __init__(self, spool: Path, place: str, upload: Callable[[Path], None]) -> None:
        self.place = place
        self._upload = upload
        try:
            _make_private(spool)
            handle, path = tempfile.mkstemp(dir=spool)
        except OSError as err:
            raise write_failed(str(spool), err) from err
        self._path = Path(path)
        self._inner = os.fdopen(handle, "wb")
        self.file = HashedFile(self._inner)

    def publish(self) -> int:
        """See ``UnfinishedFile``; a store's times are not looked at."""
        try:
            self._inner.close()
        except OSError as err:
            raise write_failed(str(self._path), err) from err
        self._upload(self._path)
        self.discard()
        return 0

    def discard(self) -> None:
        """See ``UnfinishedFile``."""
        with contextlib.suppress(OSError):
            self._inner.close()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


def _open_files(scheme: str) -> Any:
    """The fsspec file system of a kind of store.

    Raises:
        ConfigError: its package is not installed, or it finds no credentials.
    """
    install = f"pip install 'penstock[{_EXTRAS[scheme]}]'"
    try:
        import fsspec

        kind = fsspec.get_filesystem_class(scheme)
        return kind(use_listings_cache=False, skip_instance_cache=True)
    except (ImportError, ValueError) as err:
        raise ConfigError(
            f"output.path: {scheme}:// needs a package ({install}) and credentials"
        ) from err


def _is_passing(err: Exception, status: int | None) -> bool:
    """Whether what a store's client raised may be another time."""
    if status is not None:
        return status >= 500 or status in _PASSING_STATUSES
    if "Credential" in type(err).__name__:
        return False
    if isinstance(err, OSError):
        return may_pass(err) and err.errno != errno.ENOSYS
    return True


def _spool_folder(url: str) -> Path:
    """Where files for a URL are collected: the same each time, so that leftovers are found."""
    name = hashlib.sha256(url.encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"penstock-{os.getuid()}-{name}"


def _make_private(folder: Path) -> None:
    """Make a folder that is ours alone.

    Raises:
        OSError: it cannot be made, or is somebody else's.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to somebody else; remove it, or set TMPDIR")
