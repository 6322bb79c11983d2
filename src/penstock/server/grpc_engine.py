"""Which engine carries gRPC: libnghttp2 where it is installed, or grpcio."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from penstock.server.grpc_api.api import GrpcApi
    from penstock.server.grpc_api.call import GrpcOptions

_log = logging.getLogger("penstock.grpc")

EngineName: TypeAlias = Literal["auto", "nghttp2", "grpcio"]


class GrpcDoor(Protocol):
    """A gRPC server, whichever engine it runs on."""

    async def start(self, address: str) -> None:
        """Listen on ``host:port``, an IPv6 host in brackets.

        Raises:
            ConfigError: the address cannot be had.
        """
        ...

    async def stop(self, timeout_s: float) -> None:
        """Say NOT_SERVING, take no new calls, and wait for those under way; then cut them off."""
        ...


def check_engine(name: EngineName) -> None:
    """See early that the engine asked for is there.

    Raises:
        ConfigError: ``nghttp2`` is asked for by name, and the library is not installed.
    """
    if name == "nghttp2":
        from penstock.server.grpc_http2.library import require_library

        require_library()


def load_engine(name: EngineName) -> Callable[[GrpcApi, GrpcOptions], GrpcDoor]:
    """What makes servers of an engine, its libraries imported. The other's are not.

    Args:
        name: the engine; ``auto``: nghttp2, or where it is not installed grpcio.

    Raises:
        ConfigError: see ``check_engine``.

    Concurrency: any thread; takes as long as a model to load. Servers are made on the event loop
    that runs them.
    """
    if name != "grpcio":
        from penstock.server.grpc_http2 import library, server

        found = library.find_library() if name == "auto" else library.require_library()
        if found is not None:
            return functools.partial(server.Http2GrpcServer, library=found)
        _log.info(
            "gRPC runs on grpcio: libnghttp2, which is several times as fast, is not there; %s",
            library.HOW_TO_GET_IT,
        )
    from penstock.server.grpc import GrpcServer

    return GrpcServer
