"""Read a file over HTTP: from the middle where the server can, with an end to every wait."""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from email.message import Message
from typing import IO, Any

import msgspec

from penstock.core.clock import Clock, SystemClock
from penstock.core.errors import LoadFailed
from penstock.repository.remote.remote_store import PIECE_BYTES, Piece

_READ_BYTES = 1024 * 1024
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")


class HttpReader(msgspec.Struct, frozen=True):
    """How files are read over HTTP.

    Attributes:
        timeout_s: the longest wait for an answer, and for each 8 MiB of it, in seconds.
        headers: sent to the first host only; a redirect elsewhere does not get them.
        clock: where time comes from.
    """

    timeout_s: float
    headers: Mapping[str, str] = {}
    clock: Clock = SystemClock()

    def head(self, url: str) -> Message:
        """The headers of an answer to HEAD. Blocks.

        Raises:
            OSError: no answer, or one that says no (``HTTPError``).
        """
        with self._open(url, {}, "HEAD") as response:
            headers: Message = response.headers
            return headers

    def read(self, url: str, start: int, validator: str = "") -> Iterator[Piece]:
        """The bytes of a file from ``start``, or from 0 where the server cannot. Blocks.

        Args:
            url: the address.
            start: in bytes. At or behind the end, nothing comes.
            validator: an etag; where the file is another one now, it comes from 0.

        Raises:
            OSError: no answer, one that says no (``HTTPError``), or one that breaks off.
            LoadFailed: the server redirects from HTTPS to HTTP.
        """
        headers = {"Range": f"bytes={start}-"} if start else {}
        if start and validator and not validator.startswith("W/"):
            headers["If-Range"] = validator
        try:
            response = self._open(url, headers, "GET")
        except urllib.error.HTTPError as err:
            if start and err.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                return
            raise
        with response:
            position = _first_byte(response)
            end = _end(response, position)
            yield Piece(position, b"")  # says where it begins, also of an empty file
            for data in self._pieces(response):
                yield Piece(position, data)
                position += len(data)
            if end is not None and position < end:
                raise ConnectionError(f"the answer broke off after {position} of {end} bytes")

    def _pieces(self, response: http.client.HTTPResponse) -> Iterator[bytes]:
        """What comes, as it comes.

        Raises:
            TimeoutError: 8 MiB take longer than ``timeout_s``, however steadily they drip.
        """
        began_ns, taken = self.clock.monotonic_ns(), 0
        while data := response.read1(_READ_BYTES):
            yield data
            now_ns, taken = self.clock.monotonic_ns(), taken + len(data)
            if (now_ns - began_ns) / 1e9 > self.timeout_s:
                raise TimeoutError(f"{taken} bytes in {self.timeout_s:g} s")
            if taken >= PIECE_BYTES:
                began_ns, taken = now_ns, 0

    def _open(self, url: str, headers: Mapping[str, str], method: str) -> Any:
        request = urllib.request.Request(url, headers=dict(headers), method=method)  # noqa: S310
        for name, value in self.headers.items():
            request.add_unredirected_header(name, value)
        opener = urllib.request.build_opener(_StaysSecure)
        opener.addheaders = [("User-Agent", "penstock"), ("Accept-Encoding", "identity")]
        try:
            return opener.open(request, timeout=self.timeout_s)
        except urllib.error.HTTPError as err:
            err.close()
            raise
        except urllib.error.URLError as err:
            if isinstance(err.reason, OSError):
                raise err.reason from None
            raise


class _StaysSecure(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but not out of HTTPS."""

    def redirect_request(
        self, req: Any, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        """The request to follow a redirect with.

        Raises:
            LoadFailed: it leads from HTTPS to something else.
        """
        scheme = urllib.parse.urlsplit(newurl).scheme
        if req.type == "https" and scheme != "https":
            fp.close()
            raise LoadFailed(f"https://{req.host}: redirects to {scheme}://, which is refused")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _first_byte(response: http.client.HTTPResponse) -> int:
    """Where the answer begins, in bytes.

    Raises:
        ConnectionError: the server claims a part and does not say which.
    """
    if response.status != http.client.PARTIAL_CONTENT:
        return 0
    match = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
    if match is None:
        raise ConnectionError("a part without a Content-Range")
    return int(match[1])


def _end(response: http.client.HTTPResponse, start: int) -> int | None:
    """Where the answer must end, in bytes; None: the server does not say."""
    length = response.headers.get("Content-Length", "")
    return start + int(length) if length.isascii() and length.isdecimal() else None
