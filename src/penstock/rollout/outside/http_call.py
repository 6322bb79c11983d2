"""One HTTP call to somebody outside, with an end to every wait: metrics, webhooks, clusters."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from penstock.core.daemon_thread import on_daemon_thread
from penstock.core.errors import (
    ConfigError,
    DeadlineExceeded,
    InvalidArgument,
    NotReady,
    PenstockError,
)
from penstock.rollout.outside.outbound import check_address, check_host

_MAX_ANSWER_BYTES = 8 * 1024**2
_PIECE_BYTES = 64 * 1024
_GRACE_S = 0.5
"""The socket's own time-out says more of what happened: it gets this long, in seconds."""


class HttpCall(msgspec.Struct, frozen=True):
    """What is asked.

    Attributes:
        url: the address; checked by ``check_url`` before.
        timeout_s: the longest wait for the whole answer, in seconds.
        method: the HTTP method; what is not GET follows no redirect.
        body: what is sent.
        headers: sent to the address, and to no other that a redirect leads to.
    """

    url: str
    timeout_s: float
    method: str = "GET"
    body: bytes | None = None
    headers: Mapping[str, str] = {}


class HttpAnswer(NamedTuple):
    """What came back.

    Attributes:
        status: the HTTP status, whatever it is.
        body: the bytes.
    """

    status: int
    body: bytes


def check_url(url: str, field: str) -> None:
    """Refuse what is no address of an HTTP server.

    Args:
        url: the text.
        field: where it stands, for the message.

    Raises:
        ConfigError: it is none, or it holds a password, which would be shown and logged.
    """
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as err:
        raise ConfigError(f"{field}: {str(err).lower()}: expected a URL of http or https") from err
    if parts.scheme not in ("http", "https") or not parts.hostname:
        told = f"'{parts.scheme}://...'" if parts.scheme else "one without a scheme"
        raise ConfigError(f"{field}: expected a URL such as https://host:9090, got {told}")
    if parts.username is not None or parts.password is not None:
        raise ConfigError(f"{field}: a URL with a name or a password is refused: it would be shown")


async def call(
    asked: HttpCall, tls: ssl.SSLContext | None = None, hosts: tuple[str, ...] | None = None
) -> HttpAnswer:
    """Ask, on a thread that nobody waits for longer than ``asked.timeout_s``.

    Args:
        asked: the call.
        tls: whom to trust; None: whom the machine trusts.
        hosts: who may be asked, see ``outbound.check_host``; None: anybody. Where a name leads is
            looked at when the connection is there, before anything is asked.

    Returns:
        the answer, also one that says no.

    Raises:
        InvalidArgument: this one may not be asked.
        DeadlineExceeded: there was none in time.
        NotReady: nobody answers there, or the answer broke off or led elsewhere.
    """
    opened: list[socket.socket] = []
    try:
        async with asyncio.timeout(asked.timeout_s + _GRACE_S):
            return await on_daemon_thread(lambda: _ask(asked, tls, hosts, opened), "penstock-http")
    except TimeoutError as err:
        for sock in opened:  # wakes the thread: an answer that drips in would keep it
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        raise DeadlineExceeded(f"no answer within {asked.timeout_s:g} s") from err


def _ask(
    asked: HttpCall,
    tls: ssl.SSLContext | None,
    hosts: tuple[str, ...] | None,
    opened: list[socket.socket],
) -> HttpAnswer:
    """Ask and wait. Blocks. Connections are put in ``opened`` when they are there."""
    import http.client
    import urllib.error
    import urllib.request

    if hosts is not None:
        check_host(asked.url, hosts, "url")
    request = urllib.request.Request(asked.url, asked.body, method=asked.method)  # noqa: S310
    for name, value in asked.headers.items():
        request.add_unredirected_header(name, value)
    opener = urllib.request.build_opener(_redirects(hosts), *_connections(tls, hosts, opened))
    opener.addheaders = [("User-Agent", "penstock"), ("Accept-Encoding", "identity")]
    until_s = time.monotonic() + asked.timeout_s
    try:
        try:
            with opener.open(request, timeout=asked.timeout_s) as answer:
                return HttpAnswer(answer.status, _read(answer, until_s))
        except urllib.error.HTTPError as err:
            with err:
                if 300 <= err.code < 400:
                    raise NotReady("it redirects to where nobody follows: refused") from None
                return HttpAnswer(err.code, _read(err, until_s))
    except urllib.error.URLError as err:
        if isinstance(err.reason, TimeoutError):
            raise err.reason from err
        raise NotReady(f"nobody answers there ({_told(err.reason)})") from err
    except TimeoutError:
        raise
    except (http.client.InvalidURL, UnicodeError) as err:  # it would tell the URL
        raise NotReady("the address has characters that a URL must not have") from err
    except (OSError, http.client.HTTPException, ValueError) as err:
        raise NotReady(f"the connection broke off ({_told(err)})") from err


def _read(answer: Any, until_s: float) -> bytes:
    """The whole body.

    Raises:
        TimeoutError: it drips in for too long.
        NotReady: it is larger than anything that is expected.
    """
    pieces: list[bytes] = []
    size = 0
    while piece := answer.read1(_PIECE_BYTES):
        pieces.append(piece)
        size += len(piece)
        if size > _MAX_ANSWER_BYTES:
            raise NotReady(f"the answer has more than {_MAX_ANSWER_BYTES} bytes")
        if time.monotonic() > until_s:
            raise TimeoutError
    return b"".join(pieces)


def _connections(
    tls: ssl.SSLContext | None, hosts: tuple[str, ...] | None, opened: list[socket.socket]
) -> list[Any]:
    """Connect, and hang up before anything is asked where that led to a forbidden address."""
    import http.client
    import urllib.request

    def check(sock: socket.socket) -> None:
        opened.append(sock)
        if hosts == ():
            try:
                check_address(_peer(sock)[0], "url")
            except InvalidArgument:
                sock.close()
                raise

    class Plain(http.client.HTTPConnection):
        def connect(self) -> None:
            super().connect()
            check(self.sock)

    class Secure(http.client.HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            check(self.sock)

    class OpenPlain(urllib.request.HTTPHandler):
        def http_open(self, req: urllib.request.Request) -> Any:
            return self.do_open(Plain, req)

    class OpenSecure(urllib.request.HTTPSHandler):
        def https_open(self, req: urllib.request.Request) -> Any:
            return self.do_open(functools.partial(Secure, context=tls), req)

    return [OpenPlain(), OpenSecure()]


def _peer(sock: socket.socket) -> Any:
    """Where a connection leads: the address first."""
    return sock.getpeername()


def _redirects(hosts: tuple[str, ...] | None) -> Any:
    """Follows a GET to where it is sent on the same host, but to no lesser protocol; follows
    nothing else.
    """
    import urllib.request

    class Redirects(urllib.request.HTTPRedirectHandler):
        def redirect_request(
            self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
        ) -> Any:
            try:
                _check_redirect(req, newurl, hosts)
            except PenstockError:
                fp.close()
                raise
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    return Redirects()


def _check_redirect(req: Any, newurl: str, hosts: tuple[str, ...] | None) -> None:
    """Refuse what a redirect must not lead to.

    Raises:
        NotReady: another host, a lesser protocol, or the request is no GET.
        InvalidArgument: another port, which may not be asked.
    """
    from urllib.parse import urlsplit

    before, after = req.type, newurl.partition(":")[0].lower()
    if req.get_method() not in ("GET", "HEAD"):
        raise NotReady("it redirects, which is not followed: give the address itself")
    if after != before and (before, after) != ("http", "https"):
        raise NotReady(f"it redirects from {before}:// to {after}://, which is refused")
    if urlsplit(newurl).hostname != urlsplit(req.full_url).hostname:
        raise NotReady("it redirects to another host, which is refused")
    if hosts is not None:
        check_host(newurl, hosts, "a redirect")


def _told(reason: object) -> str:
    text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return str(text).lower()
