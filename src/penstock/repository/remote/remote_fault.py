"""What a store's client raised, as an error of ours: which address, why, what to do, no secrets."""

from __future__ import annotations

import errno
import ssl
from collections.abc import Callable
from typing import TypeVar

from tenacity import (
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)

from penstock.core.causes import causes_of
from penstock.core.errors import LoadFailed, PenstockError
from penstock.repository.remote.remote_store import RemoteOptions
from penstock.repository.remote.remote_url import RemoteUrl
from penstock.repository.remote.unreachable import why_unreachable

T = TypeVar("T")

_GCS_REFUSES = "Forbidden: "
"""How the text of the error begins that gcsfs makes of a 403, and tells no status."""

_NO_CREDENTIALS = frozenset(
    {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound"}
    | {"TokenRetrievalError", "DefaultCredentialsError", "ClientAuthenticationError"}
)
"""What clients raise that found no credentials; their classes cannot be imported everywhere."""


def attempt(url: RemoteUrl, what: str, options: RemoteOptions, work: Callable[[], T]) -> T:
    """Do ``work`` with a store, again and again where it can pass, with growing waits. Blocks.

    Args:
        url: whose store it is.
        what: of it, for messages: a file; "": the address itself.
        options: how often, and how long to wait.
        work: what to do.

    Raises:
        PenstockError: what the last attempt came to.
    """

    def once() -> T:
        try:
            return work()
        except PenstockError:
            raise
        except Exception as err:
            raise explain(url, what, err, options) from err

    retrying = Retrying(
        stop=stop_after_attempt(options.attempts),
        wait=wait_exponential(multiplier=options.initial_backoff_s, max=options.max_backoff_s)
        + wait_random(0, options.initial_backoff_s / 2),
        retry=retry_if_exception(lambda err: isinstance(err, PenstockError) and err.retryable),
        reraise=True,
    )
    return retrying(once)


def explain(url: RemoteUrl, what: str, err: Exception, options: RemoteOptions) -> LoadFailed:
    """One line on what went wrong with a store; what its client says is not repeated.

    The text of a client's error may hold a signed address. Its type and its HTTP status tell
    enough.
    """
    place = f"{url}: {what}" if what else str(url)
    status = status_of(err)
    if isinstance(err, PermissionError) or status in (401, 403):
        return LoadFailed(f"{place}: the store refuses (403): {credentials_hint(url)}")
    if type(err).__name__ in _NO_CREDENTIALS:
        return LoadFailed(f"{place}: no credentials for the store: {credentials_hint(url)}")
    if isinstance(err, FileNotFoundError) or status in (404, 410):
        return LoadFailed(f"{place}: not there (404): check the address")
    if _is_timeout(err):
        text = f"no answer within {options.timeout_s:g} s (remote.timeout_s)"
        return LoadFailed(f"{place}: {text}", retryable=True)
    untrusted = [one for one in causes_of(err) if isinstance(one, ssl.SSLCertVerificationError)]
    if untrusted:
        return LoadFailed(
            f"{place}: the certificate of the server is not trusted: "
            f"{untrusted[0].verify_message}; SSL_CERT_FILE names an authority of your own"
        )
    unreachable = why_unreachable(url, err) if status is None else None
    if unreachable is not None:
        return LoadFailed(f"{place}: {unreachable}", retryable=True)
    if isinstance(err, OSError) and err.errno in (errno.ENOSPC, errno.EDQUOT):
        return LoadFailed(f"{place}: no room on the disk of model_cache.path", retryable=True)
    told = f"status {status}" if status else type(err).__name__
    may_pass = status is None or status >= 500 or status in (408, 425, 429)
    return LoadFailed(f"{place}: cannot be fetched: {told}", retryable=may_pass)


def status_of(err: BaseException) -> int | None:
    """The HTTP status an error stands for, whichever client raised it; None: it has none."""
    told = getattr(err, "get_http_status_code", None)  # mlflow
    if callable(told):
        return int(told())
    response = getattr(err, "response", None)
    if isinstance(response, dict):  # botocore
        response = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    candidates = (response, getattr(response, "status_code", None))
    attributes = (getattr(err, name, None) for name in ("status_code", "status", "code"))
    found = [value for value in (*candidates, *attributes) if isinstance(value, int)]
    if isinstance(err, OSError) and str(err).startswith(_GCS_REFUSES):
        return 403
    return next((value for value in found if 100 <= value <= 599), None)


def _is_timeout(err: BaseException) -> bool:
    return isinstance(err, TimeoutError) or "Timeout" in type(err).__name__


def credentials_hint(url: RemoteUrl) -> str:
    """What to set or check where a store lets nobody in."""
    hints = {
        "s3": "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; check its rights",
        "gs": "set GOOGLE_APPLICATION_CREDENTIALS; check its rights",
        "az": "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY; check its rights",
        "models": "check MLFLOW_TRACKING_URI and its credentials",
        "hf": "check the name, or accept the model's terms on the hub and set HF_TOKEN",
    }
    return hints.get(url.scheme, "check the address and who may read it")
