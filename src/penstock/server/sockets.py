"""Sockets and addresses, as both doors want them."""

from __future__ import annotations

import socket

from penstock.core.errors import ConfigError


def bind(
    host: str, port: int, what: str, backlog: int = 1, *, shares_port: bool = False
) -> socket.socket:
    """A socket that listens on the port asked for, or with 0 on one that is free.

    Args:
        host: the address.
        port: the port.
        what: whose port, for messages.
        backlog: connections the kernel keeps waiting.
        shares_port: whether other processes listen on it, too.

    Raises:
        ConfigError: the port is in use, or the address is not this machine's; one line for people.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shares_port:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        bound.bind((host, port))
        bound.listen(backlog)
    except OSError as err:
        bound.close()
        raise _not_ours(host, port, what, err) from err
    return bound


def free_port(host: str, port: int, what: str) -> int:
    """The port that ``bind`` would take, free again.

    Raises:
        ConfigError: what ``bind`` raises.
    """
    with bind(host, port, what) as probe:
        return port_of(probe)


def reserve(host: str, port: int, what: str) -> socket.socket:
    """A socket that keeps a port for processes which listen there together, and does not listen.

    Raises:
        ConfigError: the port is in use, also by others who would share it.
    """
    if port:
        free_port(host, port, what)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    reserved = socket.socket(family, socket.SOCK_STREAM)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        reserved.bind((host, port))
    except OSError as err:
        reserved.close()
        raise _not_ours(host, port, what, err) from err
    return reserved


def address(host: str, port: int) -> str:
    """``host:port`` as URLs and gRPC write it: an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def port_of(bound: socket.socket) -> int:
    """The port a socket is bound to."""
    port: int = bound.getsockname()[1]
    return port


def _not_ours(host: str, port: int, what: str, err: OSError) -> ConfigError:
    reason = err.strerror or str(err)
    return ConfigError(
        f"cannot listen on {host}:{port} for {what}: {reason.lower()}. "
        f"Choose another port with --{what.lower()}-port"
    )
