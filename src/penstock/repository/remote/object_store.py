"""ObjectStore: S3-compatible, Google Cloud and Azure stores, through fsspec."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from penstock.core.errors import ConfigError
from penstock.repository.remote.bounded_call import within
from penstock.repository.remote.remote_fault import credentials_hint
from penstock.repository.remote.remote_file import RemoteFile, RemoteListing
from penstock.repository.remote.remote_store import PIECE_BYTES, Piece, RemoteOptions
from penstock.repository.remote.remote_url import RemoteUrl

_EXTRAS = {"s3": "s3", "gs": "gcs", "az": "azure"}
_STRONG = ("ETag", "etag", "generation", "md5Hash")
_TIMES = ("LastModified", "last_modified", "mtime", "created")
_STRONG_MARKS = tuple(f"{key.lower()}=" for key in _STRONG)
"""What stores call the thing that changes with the content, the surest first."""


class ObjectStore:
    """Everything below one address of an object store, or the one object at it.

    Credentials, regions and endpoints are taken where the store's own client takes them.

    Args:
        url: the address.
        options: time-outs.

    Raises:
        ConfigError: the package for this kind of store is not installed, or finds no credentials.
    """

    def __init__(self, url: RemoteUrl, options: RemoteOptions) -> None:
        self._files = open_filesystem(url, options.timeout_s)
        self._place = url.place
        self._timeout_s = options.timeout_s

    def list(self) -> RemoteListing:
        """What is there now; see ``RemoteStore``."""
        found: Mapping[str, Mapping[str, Any]] = within(self._timeout_s, self._find)
        files = (_remote_file(self._place, name, info) for name, info in found.items())
        return RemoteListing(tuple(sorted((f for f in files if f), key=lambda file: file.path)))

    def read(self, file: RemoteFile, start: int) -> Iterator[Piece]:
        """The bytes from ``start``; see ``RemoteStore``."""
        size_bytes = file.size_bytes or 0
        while start < size_bytes:
            end = min(start + PIECE_BYTES, size_bytes)
            data = within(
                self._timeout_s,
                lambda first=start, last=end: self._files.cat_file(  # type: ignore[misc]
                    file.source, start=first, end=last
                ),
            )
            yield Piece(start, data)
            if not data:
                return
            start += len(data)

    def confirm(self, file: RemoteFile) -> None:
        """See that the object was not replaced while it was read; see ``RemoteStore``.

        Times are not compared: some clients write them in two ways.
        """
        info = within(self._timeout_s, lambda: self._files.info(file.source))
        is_same = _mark(info) == file.mark or not file.mark.startswith(_STRONG_MARKS)
        if info.get("size") != file.size_bytes or not is_same:
            raise ConnectionError("the object was replaced while it was read")

    def _find(self) -> Any:
        self._files.invalidate_cache()
        found = self._files.find(self._place, detail=True)
        if isinstance(found, list):  # adlfs gives names alone where the address is a file
            return {name: self._files.info(name) for name in found}
        return found


def open_filesystem(url: RemoteUrl, timeout_s: float) -> Any:
    """The fsspec file system of a kind of store; some look for credentials at once. Blocks.

    Raises:
        ConfigError: its package is not installed, or finds no credentials.
    """
    try:
        import fsspec

        kind = fsspec.get_filesystem_class(url.scheme)
    except (ImportError, ValueError) as err:
        install = f"pip install 'penstock[{_EXTRAS[url.scheme]}]'"
        raise ConfigError(f"{url}: models from {url.scheme}:// need a package: {install}") from err
    options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
    if url.scheme == "s3":
        times = {"connect_timeout": timeout_s, "read_timeout": timeout_s}
        options["config_kwargs"] = {**times, "retries": {"max_attempts": 1}}
    try:
        return within(timeout_s, lambda: kind(**options))
    except ValueError as err:  # Azure's, of an account that nobody named
        raise ConfigError(f"{url}: the store's client refuses: {credentials_hint(url)}") from err


def _remote_file(place: str, name: str, info: Mapping[str, Any]) -> RemoteFile | None:
    """A file of a listing, relative to the address; None: a folder, or a folder's marker."""
    size_bytes = info.get("size")
    plain = name.strip("/")
    path = plain.rpartition("/")[2] if plain == place else plain.removeprefix(f"{place}/")
    if info.get("type") == "directory" or name.endswith("/") or not isinstance(size_bytes, int):
        return None
    return RemoteFile(path, name, size_bytes, _mark(info), md5=_md5(info))


def _mark(info: Mapping[str, Any]) -> str:
    """What tells an object from another one under its name.

    Azure puts quotes around an etag in one answer and none in another.
    """
    found = ((key.lower(), info[key]) for key in (*_STRONG, *_TIMES) if info.get(key))
    return next((f"{key}={str(value).strip(chr(34))}" for key, value in found), "")


def _md5(info: Mapping[str, Any]) -> str:
    """The MD5 a store keeps beside an object, in hex; "": it keeps none.

    S3 keeps none: its etag is one only for some uploads and some encryptions.
    """
    settings = info.get("content_settings") or {}
    value = info.get("md5Hash") or (settings.get("content_md5") if settings else None)
    if isinstance(value, str):
        value = base64.b64decode(value)
    return bytes(value).hex() if value else ""
