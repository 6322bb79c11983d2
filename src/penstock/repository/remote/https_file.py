"""HttpsFile: one file at an address of the web, held to its digest."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from penstock.core.errors import ConfigError
from penstock.repository.remote.http_reader import HttpReader
from penstock.repository.remote.remote_file import RemoteFile, RemoteListing
from penstock.repository.remote.remote_store import Piece, RemoteOptions
from penstock.repository.remote.remote_url import RemoteUrl


class HttpsFile:
    """The file at an ``https://`` address; with a digest also at an ``http://`` one.

    Args:
        url: the address.
        options: time-outs, and whether a digest may be missing.

    Raises:
        ConfigError: there is no digest, and that is not allowed.
    """

    def __init__(self, url: RemoteUrl, options: RemoteOptions) -> None:
        if not url.sha256 and url.scheme == "http":
            raise ConfigError(f"{url}: needs a digest (#sha256=...) or https://")
        if not url.sha256 and not options.allow_unverified:
            raise ConfigError(
                f"{url}: has no digest: expected {url}#sha256=<64 hex digits, which `sha256sum` "
                "prints>; remote.allow_unverified=true takes whatever the server sends"
            )
        self._url = url
        self._reader = HttpReader(options.timeout_s)
        self._name = unquote(urlsplit(url.place).path.rpartition("/")[2])

    def list(self) -> RemoteListing:
        """The file; see ``RemoteStore``. With a digest nothing is asked: it says all."""
        if self._url.sha256:
            file = RemoteFile(self._name, self._url.place, sha256=self._url.sha256)
            return RemoteListing((file,), is_final=True)
        headers = self._reader.head(self._url.place)
        size = headers.get("Content-Length", "")
        mark = headers.get("ETag") or headers.get("Last-Modified") or ""
        size_bytes = int(size) if size.isascii() and size.isdecimal() else None
        file = RemoteFile(self._name, self._url.place, size_bytes, mark)
        return RemoteListing((file,), is_final=True)

    def read(self, file: RemoteFile, start: int) -> Iterator[Piece]:
        """The bytes from ``start``; see ``RemoteStore``."""
        validator = file.mark if file.mark.startswith('"') else ""
        return self._reader.read(file.source, start, validator)

    def confirm(self, file: RemoteFile) -> None:
        """Nothing to see: what is resumed is held to its etag."""
