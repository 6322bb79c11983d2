"""Whom the server may ask: without a limit, whoever sends a plan chooses whom it calls."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit

from penstock.core.errors import InvalidArgument

_PORTS = {"http": 80, "https": 443}


def shown_url(url: str) -> str:
    """What may be seen of a URL: its host. The path and the query often are the secret. Pure."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "..."
    if not parts.scheme or not parts.hostname:
        return "..."
    shown = f"{parts.scheme}://{_host(parts)}" + ("" if port is None else f":{port}")
    return f"{shown}/..." if parts.path.strip("/") or parts.query or parts.fragment else shown


def check_host(url: str, hosts: tuple[str, ...], field: str) -> None:
    """Refuse a URL that the setting ``outbound_hosts`` keeps the server from. Pure.

    Args:
        url: the URL.
        hosts: who may be asked, as ``host`` or ``host:port``; empty: everybody but link-local
            addresses, where clouds tell their machines secrets.
        field: where it stands, for the message.

    Raises:
        InvalidArgument: it is not permitted.
    """
    parts = urlsplit(url)
    host = _host(parts)
    port = parts.port if parts.port is not None else _PORTS.get(parts.scheme, 0)
    if hosts and not {host, host.strip("[]"), f"{host}:{port}"} & {one.lower() for one in hosts}:
        raise InvalidArgument(
            f"{field}: {host}:{port} is not among those that this server may ask "
            f"({', '.join(hosts)}): add it to the setting outbound_hosts"
        )
    if not hosts:
        check_address(host.strip("[]"), field)


def check_address(address: str, field: str) -> None:
    """Refuse a link-local address (169.254.0.0/16, fe80::/10). What is no address passes. Pure.

    Raises:
        InvalidArgument: it is one.
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return
    inner = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    if (inner or found).is_link_local:
        raise InvalidArgument(
            f"{field}: {address} is a link-local address, which is asked only where the setting "
            "outbound_hosts names it"
        )


def _host(parts: SplitResult) -> str:
    """The host in lower case, an IPv6 address in brackets."""
    host = parts.hostname or ""
    return f"[{host}]" if ":" in host else host
