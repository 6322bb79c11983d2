"""Whether a store's server could not be reached at all: which server, why, and what to check."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

from penstock.core.causes import causes_of
from penstock.repository.remote.remote_url import RemoteUrl

_NO_ROUTE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN})
_NO_CONNECTION = frozenset(
    {"ConnectError", "NewConnectionError", "NameResolutionError", "EndpointConnectionError"}
    | {"ClientConnectorError", "ClientConnectorDNSError", "ServiceRequestError"}
)
"""What clients raise that got no connection; their classes cannot be imported everywhere."""

_PROXY = frozenset({"ProxyError", "ProxyConnectionError", "ClientProxyConnectionError"})
_HUB_OFFLINE = "OfflineModeIsEnabled"

_NETWORK = "this machine's network and HTTPS_PROXY"
_CHECKS: Mapping[str, str] = MappingProxyType(
    {
        "s3": f"AWS_ENDPOINT_URL or the region, {_NETWORK}",
        "gs": f"STORAGE_EMULATOR_HOST, {_NETWORK}",
        "az": f"AZURE_STORAGE_ACCOUNT_NAME, {_NETWORK}",
        "models": f"MLFLOW_TRACKING_URI, whether that server runs, {_NETWORK}",
        "hf": f"HF_ENDPOINT, {_NETWORK}",
    }
)
_SERVERS: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        "s3": ("the store", ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")),
        "gs": ("the store", ("STORAGE_EMULATOR_HOST",)),
        "az": ("the store", ()),
        "models": ("the registry", ("MLFLOW_TRACKING_URI",)),
        "hf": ("the hub", ()),
    }
)


def why_unreachable(url: RemoteUrl, err: BaseException) -> str | None:
    """Say that a server could not be reached, and what to check.

    Args:
        url: whose server it is.
        err: what its client raised.

    Returns:
        ``the hub at HOST cannot be reached (...): check ...``; None: it was reached.
    """
    causes = list(causes_of(err))
    if any(type(cause).__name__ == _HUB_OFFLINE for cause in causes):
        return f"{_server(url, causes)} is not asked, because HF_HUB_OFFLINE is set: unset it"
    reason = next((text for cause in causes if (text := _reason(cause))), None)
    if reason is None and not any(type(cause).__name__ in _NO_CONNECTION for cause in causes):
        return None
    check = _CHECKS.get(url.scheme, f"the host in the address, {_NETWORK}")
    told = f" ({reason})" if reason else ""
    return f"{_server(url, causes)} cannot be reached{told}: check {check}"


def _reason(cause: BaseException) -> str | None:
    """Why there is no connection, as the system said it; None: it said nothing of the kind."""
    if isinstance(cause, socket.gaierror):
        return "no such host is known here"
    if isinstance(cause, ConnectionRefusedError):
        return "connection refused"
    if isinstance(cause, OSError) and cause.errno in _NO_ROUTE:
        return "no route to it"
    if type(cause).__name__ in _PROXY:
        return "its proxy does not answer"
    return None


def _server(url: RemoteUrl, causes: list[BaseException]) -> str:
    """Who was asked, with host and port where they are known; never with a secret."""
    if url.scheme not in _SERVERS:
        return urlsplit(url.place).netloc
    name, variables = _SERVERS[url.scheme]
    addresses = [_asked(cause) for cause in causes]
    addresses += [os.environ.get(variable, "") for variable in variables]
    if url.scheme == "hf":  # read from HF_ENDPOINT when the client was imported
        constants = sys.modules.get("huggingface_hub.constants")
        addresses.append(getattr(constants, "ENDPOINT", ""))
    host = next((host for one in addresses if (host := _host(one))), "")
    return f"{name} at {host}" if host else name


def _asked(cause: BaseException) -> str:
    """The address that botocore's errors hold, or that of an error which knows its host."""
    fields = getattr(cause, "kwargs", None)
    if isinstance(fields, dict) and isinstance(fields.get("endpoint_url"), str):
        return str(fields["endpoint_url"])
    host, port = getattr(cause, "host", None), getattr(cause, "port", None)
    return f"//{host}:{port}" if isinstance(host, str) and isinstance(port, int) else ""


def _host(address: str) -> str:
    """Host and port of an address, without credentials; "": there are none."""
    try:
        netloc = urlsplit(address).netloc
    except ValueError:
        return ""
    return netloc.rpartition("@")[2]
