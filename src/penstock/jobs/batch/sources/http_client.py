"""PageClient: one page of an API, asked for until it comes or cannot."""

from __future__ import annotations

import email.utils
import os
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import httpx
import msgspec
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_random_exponential

from penstock.core.errors import ConfigError, JobInputError
from penstock.jobs.batch.databases.sql_url import expand
from penstock.jobs.batch.spec_tables import HttpInput

_LONGEST_WAIT_S = 120.0
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_SECRET_HEADERS = ("authorization", "cookie", "token", "key", "secret", "password")


class HttpPage(msgspec.Struct, frozen=True):
    """An answer.

    Attributes:
        body: its bytes, unpacked.
        next_url: what its header Link calls ``next``; "": nothing.
    """

    body: bytes
    next_url: str = ""


class PageClient:
    """Asks for pages, all of one host.

    Tried again, later each time (or when the header Retry-After says): no connection, no answer in
    time, 408, 425, 429, 500, 502, 503 and 504. Redirects are errors: a header with a secret goes
    nowhere but to the host that the job names.

    Args:
        spec: what is asked for, and how.
        environ: where ``${NAME}`` comes from.
        sleep: how a pause is made, in seconds.

    Attributes:
        url: the first page's address; it may hold secrets.
        name: the same for errors, without its query.

    Raises:
        ConfigError: the URL or a header is wrong, or holds a secret in clear text.
    """

    def __init__(
        self,
        spec: HttpInput,
        environ: Mapping[str, str] = os.environ,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = expand(spec.url, environ, "url")
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError("url: expected http://host/path or https://host/path")
        host = parts.netloc.rpartition("@")[2]
        self.name = f"{parts.scheme}://{host}{parts.path}"
        self._origin = _origin(self.url)
        self._spec = spec
        self._sleep = sleep
        self._client = httpx.Client(headers=_headers(spec, environ), timeout=spec.timeout_s)

    def get(self, url: str) -> HttpPage:
        """A page. Blocks, for all tries together.

        Raises:
            JobInputError: it does not come; ``retryable`` where it may yet.
        """
        if _origin(url) != self._origin:
            raise JobInputError(
                f"{self.name}: the next page is of another host, which would get the headers: "
                f"refused"
            )
        retrying = Retrying(
            stop=stop_after_attempt(self._spec.tries),
            wait=_pause,
            retry=retry_if_exception(lambda err: getattr(err, "retryable", False)),
            sleep=self._sleep,
            reraise=True,
        )
        return retrying(self._get, url)

    def close(self) -> None:
        """Give back the connection."""
        self._client.close()

    def _get(self, url: str) -> HttpPage:
        try:
            with self._client.stream("GET", url) as response:
                if response.status_code != httpx.codes.OK:
                    raise self._refused(response)
                body = self._body(response)
                return HttpPage(body, response.links.get("next", {}).get("url", ""))
        except httpx.TimeoutException as err:
            text = f"no answer within {self._spec.timeout_s:g} s"
            raise JobInputError(f"{self.name}: {text}", retryable=True) from err
        except httpx.TransportError as err:
            text = f"cannot be reached: {type(err).__name__}"
            raise JobInputError(f"{self.name}: {text}", retryable=True) from err
        except (httpx.HTTPError, httpx.InvalidURL) as err:
            raise JobInputError(f"{self.name}: {type(err).__name__}") from err

    def _body(self, response: httpx.Response) -> bytes:
        body = bytearray()
        for data in response.iter_bytes():
            body += data
            if len(body) > self._spec.max_page_bytes:
                raise JobInputError(
                    f"{self.name}: a page is larger than max_page_bytes, "
                    f"{self._spec.max_page_bytes}; ask for smaller pages, or raise it"
                )
        return bytes(body)

    def _refused(self, response: httpx.Response) -> JobInputError:
        status = response.status_code
        hint = ""
        if response.is_redirect:
            hint = "; redirects are not followed: give the address that it leads to"
        elif status in (401, 403):
            hint = "; look at the headers and their environment variables"
        return JobInputError(
            f"{self.name}: answers {status} {response.reason_phrase}{hint}",
            retryable=status in _PASSING,
            retry_after_s=_retry_after_s(response.headers.get("Retry-After", "")),
        )


def _headers(spec: HttpInput, environ: Mapping[str, str]) -> dict[str, str]:
    headers = {"User-Agent": "penstock", "Accept": "application/json"}
    for name, value in spec.headers.items():
        tells_who = any(word in name.lower() for word in _SECRET_HEADERS)
        if tells_who and "${" not in value:
            raise ConfigError(
                f"headers.{name}: a secret in clear text; write ${{NAME}} and set the "
                f"environment's NAME"
            )
        headers[name] = expand(value, environ, f"headers.{name}")
    return headers


def _origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port
    except ValueError:
        return "", None, None


def _retry_after_s(text: str) -> float | None:
    """Seconds that an answer asks for, at most 120; None: it does not."""
    if text.isdecimal():
        return min(float(text), _LONGEST_WAIT_S)
    try:
        at = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return min(max(at.timestamp() - time.time(), 0.0), _LONGEST_WAIT_S)


def _pause(state: RetryCallState) -> float:
    """How long to wait: as the server says, else twice as long each time, by chance."""
    err = state.outcome.exception() if state.outcome is not None else None
    asked = getattr(err, "retry_after_s", None)
    return asked if asked is not None else wait_random_exponential(0.5, _LONGEST_WAIT_S)(state)
