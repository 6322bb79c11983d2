"""Files in stores that fsspec knows: S3, Google Cloud, Azure, the web and others."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from penstock.core.errors import ConfigError, JobInputError, PenstockError
from penstock.jobs.batch.sources.hidden import MAGIC, fixed_part, is_hidden
from penstock.jobs.batch.sources.input_file import InputFile, why_unreadable

T = TypeVar("T")

_EXTRAS: Mapping[str, str] = {"s3": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure"}
_TAGS = ("ETag", "etag", "generation", "md5Hash", "Content-MD5", "checksum")
_TIMES = ("LastModified", "last_modified", "Last-Modified", "mtime", "updated", "created")
_BUFFER_BYTES = 4 * 1024 * 1024
"""What a store is asked for at once."""


def find(url: str) -> list[InputFile]:
    """The files at a URL: itself, those below it, or those that match.

    Raises:
        JobInputError: the store refuses, or cannot be reached.
        ConfigError: its kind is not known, or its package is not installed.
    """
    system, place = _open_store(url)
    is_pattern = any(mark in place for mark in MAGIC) and not url.startswith("http")

    def ask() -> Mapping[str, Mapping[str, Any]]:
        system.invalidate_cache()
        if is_pattern:
            found = system.glob(place, detail=True)
        elif (info := system.info(place))["type"] == "directory":
            found = system.find(place, detail=True)
        else:
            return {place: info}
        folder = fixed_part(place) if is_pattern else place
        pattern = place if is_pattern else ""
        return {name: info for name, info in found.items() if not is_hidden(name, folder, pattern)}

    try:
        found = _guarded(_shown(url), ask)
    except JobInputError as err:
        if isinstance(err.__cause__, FileNotFoundError):
            return []
        raise
    scheme = url.partition("://")[0]
    files = (_entry(_addressed(scheme, name), info) for name, info in found.items())
    return [file for file in files if file is not None]


def look(url: str) -> InputFile:
    """A file as it is now.

    Raises:
        JobInputError: it is gone, or the store refuses.
    """
    system, place = _open_store(url)
    file = _entry(url, _guarded(_shown(url), lambda: system.info(place)))
    if file is None:
        raise JobInputError(f"{_shown(url)}: is no longer a file, or the store tells no size")
    return file


def open_file(file: InputFile, url: str) -> io.BufferedIOBase:
    """Its bytes, asked for in pieces of 4 MiB.

    Raises:
        ConfigError: as for ``find``.
    """
    system, place = _open_store(url)
    return io.BufferedReader(StoreReader(system, place, file), _BUFFER_BYTES)


class StoreReader(io.RawIOBase):
    """Reads a file of a store by ranges.

    Args:
        system: an fsspec file system.
        place: what that calls the file.
        file: the file as it was looked at.
    """

    def __init__(self, system: Any, place: str, file: InputFile) -> None:
        self._system = system
        self._url = place
        self._file = file
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """The next byte's offset."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to an offset; see ``io.IOBase``."""
        starts = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size_bytes}
        self._at = max(0, starts[whence] + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, or as much of it as the file has left.

        Raises:
            JobInputError: the store refuses, cannot be reached, or gives less than it said.
        """
        start = self._at
        want = min(len(buffer), self._file.size_bytes - start)
        if want <= 0:
            return 0
        data: bytes = _guarded(
            self._file.source,
            lambda: self._system.cat_file(self._url, start=start, end=start + want),
        )
        if len(data) != want:
            text = f"{self._file.source}: asked for {want} bytes from {start} on, the store gave "
            raise JobInputError(f"{text}{len(data)}", retryable=len(data) < want)
        buffer[:want] = data
        self._at += want
        return want


def _open_store(url: str) -> tuple[Any, str]:
    scheme = url.partition("://")[0]
    try:
        from fsspec.core import url_to_fs
    except ImportError as err:
        raise ConfigError(
            f"{scheme}:// needs fsspec: pip install 'penstock[{_EXTRAS.get(scheme, 'batch')}]'"
        ) from err
    try:
        system, place = url_to_fs(url, use_listings_cache=False)
    except ImportError as err:
        extra = _EXTRAS.get(scheme)
        install = f"pip install 'penstock[{extra}]'" if extra else str(err)
        raise ConfigError(f"{scheme}:// needs a package: {install}") from err
    except ValueError as err:
        raise ConfigError(f"{_shown(url)}: {scheme}:// is no store that fsspec knows") from err
    return system, str(place)


def _guarded(source: str, work: Callable[[], T]) -> T:
    """Do ``work`` with a store's client.

    Raises:
        JobInputError: it raised something.
    """
    try:
        return work()
    except PenstockError:
        raise
    except Exception as err:
        raise why_unreadable(source, err) from err


def _entry(url: str, info: Mapping[str, Any]) -> InputFile | None:
    """A file of a listing; None: it is a folder, or a folder's marker, or has no size."""
    size_bytes = info.get("size")
    if info.get("type") == "directory" or url.endswith("/") or not isinstance(size_bytes, int):
        return None
    told = ((key, info[key]) for key in (*_TAGS, *_TIMES) if info.get(key))
    mark = next((f" {key.lower()}={_written(value)}" for key, value in told), "")
    return InputFile(url, size_bytes, f"size={size_bytes}{mark}")


def _written(value: object) -> str:
    """A tag or a time, which stores write in several ways."""
    if isinstance(value, datetime):
        value = value.timestamp()
    return f"{value:.3f}" if isinstance(value, float) else str(value).strip('"')


def _addressed(scheme: str, name: str) -> str:
    """A file's URL, of the scheme that the job names; clients have names of their own for it."""
    return name if "://" in name else f"{scheme}://{name}"


def _shown(url: str) -> str:
    return url.partition("?")[0]
