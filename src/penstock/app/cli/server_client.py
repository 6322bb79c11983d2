"""ServerClient: the command line's way to a running server, over plain HTTP."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn
from urllib.parse import quote, urlsplit

from penstock.core.errors import (
    ConfigError,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    NotReady,
    Overloaded,
    PenstockError,
    TooLarge,
    Unsupported,
    UnsupportedEncoding,
)

if TYPE_CHECKING:
    import http.client

_CONNECT_TIMEOUT_S = 5.0
_MAX_ERROR_CHARS = 2000
_ERRORS: Mapping[int, type[PenstockError]] = {
    400: InvalidArgument,
    404: NotFound,
    409: FailedPrecondition,
    413: TooLarge,
    429: Overloaded,
    415: UnsupportedEncoding,
    501: Unsupported,
    503: NotReady,
    504: DeadlineExceeded,
}


class Reply(NamedTuple):
    """A server's answer.

    Attributes:
        status: HTTP status.
        headers: names in lower case.
        body: the bytes.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body's value; None where it is empty.

        Raises:
            Internal: it is no JSON: something else listens there.
        """
        if not self.body:
            return None
        try:
            return json.loads(self.body)
        except ValueError as err:
            raise Internal("the server's answer is no JSON: is it a Penstock server?") from err


class ServerClient:
    """Talks to one server; a connection per request, straight to the address (no proxy).

    Args:
        url: the REST address, such as ``http://127.0.0.1:8080``; a bare ``host:port`` is http.
        timeout_s: how long the server may be silent, in seconds.

    Attributes:
        url_name, timeout_name: what the caller calls the two, for messages.

    Raises:
        ConfigError: ``url`` is no address.
    """

    url_name, timeout_name = "--url", "--timeout-s"

    def __init__(self, url: str, timeout_s: float) -> None:
        text = url if "://" in url else f"http://{url}"
        expected = f"{self.url_name} {url}: expected an address such as http://127.0.0.1:8080"
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as err:
            raise ConfigError(f"{expected}: {str(err).lower()}") from err
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(expected)
        self.url = text.rstrip("/")
        self._secure = parts.scheme == "https"
        self._host, self._port, self._base = parts.hostname, port, parts.path.rstrip("/")
        self._timeout_s = timeout_s

    def get(self, path: str) -> Any:
        """The JSON of a GET.

        Raises:
            PenstockError: see ``request``.
        """
        return self.request("GET", path).json()

    def post(self, path: str, value: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """The JSON of a POST of JSON.

        Raises:
            PenstockError: see ``request``.
        """
        body = b"" if value is None else json.dumps(value).encode()
        return self.request("POST", path, body, headers).json()

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        accept: frozenset[int] = frozenset((200,)),
    ) -> Reply:
        """Send a request and wait for its answer.

        Args:
            method: the HTTP method.
            path: the path below the server's address, percent-encoded.
            body: what is sent.
            headers: further headers.
            accept: statuses that are an answer, not an error.

        Raises:
            NotReady: nothing answers at the address, or the server says so.
            DeadlineExceeded: no answer in time.
            PenstockError: the server says no, in its own words.
        """
        with self._connection() as connection:
            connection.request(method, f"{self._base}{path}", body or None, dict(headers or {}))
            got = connection.getresponse()
            found = {name.lower(): value for name, value in got.getheaders()}
            reply = Reply(got.status, found, got.read())
        if reply.status not in accept:
            self._refuse(reply)
        return reply

    @contextlib.contextmanager
    def _connection(self) -> Iterator[http.client.HTTPConnection]:
        import http.client

        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=min(_CONNECT_TIMEOUT_S, self._timeout_s))
        try:
            connection.connect()
        except OSError as err:
            reason = _reason(err)
            raise NotReady(
                f"no server answers at {self.url} ({reason}): start one with "
                f"'penstock serve PATH...', or say where it is with {self.url_name}"
            ) from err
        try:
            connection.sock.settimeout(self._timeout_s)
            yield connection
        except TimeoutError as err:
            raise DeadlineExceeded(
                f"{self.url} sent no answer within {self._timeout_s:g} s: "
                f"wait longer with {self.timeout_name}"
            ) from err
        except (OSError, http.client.HTTPException) as err:
            raise NotReady(f"{self.url} broke off the connection ({_reason(err)})") from err
        finally:
            connection.close()

    def _refuse(self, reply: Reply) -> NoReturn:
        kind = _ERRORS.get(reply.status, Internal)
        text = _error_text(reply)
        if not text:
            text = f"{self.url} answered with HTTP status {reply.status}"
        raise kind(text)


def path_of(kind: str, name: str, *more: str) -> str:
    """The path of what is named, such as ``path_of("jobs", "monday", "result")``."""
    return "/".join(("", "v2", kind, *(quote(part, safe="") for part in (name, *more))))


def model_path(name: str, version: str = "") -> str:
    """The path of a model, or of one of its versions."""
    return path_of("models", name, *(("versions", version) if version else ()))


def _reason(err: Exception) -> str:
    if isinstance(err, TimeoutError):
        return "timed out"
    text = getattr(err, "strerror", None) or str(err) or type(err).__name__
    return str(text).lower()


def _error_text(reply: Reply) -> str:
    """What the server says, as one line; "" where it is none of ours."""
    try:
        text = json.loads(reply.body)["error"]
    except (ValueError, TypeError, KeyError):
        return ""
    return " ".join(str(text).split())[:_MAX_ERROR_CHARS]
