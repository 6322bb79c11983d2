"""Ports that processes share."""

from __future__ import annotations

import socket

import pytest

from penstock.core.errors import ConfigError
from penstock.server.sockets import bind, port_of, reserve

HOST = "127.0.0.1"


def share(port: int) -> socket.socket:
    """A socket that listens where others do."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    one.bind((HOST, port))
    one.listen()
    return one


def test_a_reserved_port_is_for_those_who_share_it() -> None:
    with reserve(HOST, 0, "gRPC") as reserved:
        port = port_of(reserved)
        with share(port), share(port), socket.create_connection((HOST, port), 5):
            pass


def test_a_reserved_port_takes_no_connection_itself() -> None:
    with reserve(HOST, 0, "gRPC") as reserved, pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, port_of(reserved)), 5)


def test_a_port_that_others_share_is_taken() -> None:
    with (
        reserve(HOST, 0, "gRPC") as reserved,
        share(port_of(reserved)),
        pytest.raises(ConfigError, match="--grpc-port"),
    ):
        reserve(HOST, port_of(reserved), "gRPC")


def test_a_port_that_is_taken() -> None:
    with bind(HOST, 0, "HTTP") as taken, pytest.raises(ConfigError, match="--grpc-port"):
        reserve(HOST, port_of(taken), "gRPC")
