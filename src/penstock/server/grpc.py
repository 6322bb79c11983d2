"""GrpcServer: the gRPC door on grpcio's engine (grpc.aio), in this process and on its event loop.

For machines without libnghttp2; ``grpc_http2`` is several times as fast.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, NoReturn
from urllib.parse import unquote

import grpc

from penstock.core.errors import ConfigError, PenstockError
from penstock.dialects.open_inference.errors import grpc_status
from penstock.server.grpc_api.api import GrpcApi
from penstock.server.grpc_api.call import GrpcOptions, Streaming, Unary, status_details

Context = grpc.aio.ServicerContext[Any, Any]


class GrpcServer:
    """Serves one ``GrpcApi``."""

    def __init__(self, api: GrpcApi, options: GrpcOptions) -> None:
        self._api = api
        self._server = grpc.aio.server(
            handlers=[_Handlers(api)],
            options=[
                ("grpc.max_receive_message_length", options.max_message_bytes),
                ("grpc.max_send_message_length", options.max_message_bytes),
                ("grpc.so_reuseport", int(options.shares_port)),
            ],
        )

    async def start(self, address: str) -> None:
        """Listen on ``host:port``, an IPv6 host in brackets.

        Raises:
            ConfigError: the address cannot be had.
        """
        try:
            self._server.add_insecure_port(address)
        except RuntimeError as err:
            raise ConfigError(f"cannot listen on {address} for gRPC: {err}") from err
        await self._server.start()
        self._api.health.start()

    async def stop(self, timeout_s: float) -> None:
        """Say NOT_SERVING, take no new calls, and wait for those under way."""
        self._api.health.stop()
        await self._server.stop(timeout_s)


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # not at run time
    """Finds a path's method; a path without one is UNIMPLEMENTED by itself."""

    def __init__(self, api: GrpcApi) -> None:
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            **{p: grpc.unary_unary_rpc_method_handler(_unary(m)) for p, m in api.unary.items()},
            **{
                path: grpc.stream_stream_rpc_method_handler(_streaming(method))
                for path, method in api.streaming.items()
            },
        }

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The handler of a call; None: there is none."""
        return self._handlers.get(handler_call_details.method)


class _Call:
    """A ``Call`` of grpcio's."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def time_remaining(self) -> float | None:
        """Seconds until the client's deadline."""
        return self._context.time_remaining()

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        """All of the client's metadata."""
        return {
            name.encode(): value if isinstance(value, bytes) else value.encode()
            for name, value in self._context.invocation_metadata() or ()
        }

    @property
    def client(self) -> str:
        """The address of the client."""
        kind, _, rest = self._context.peer().partition(":")
        return unquote(rest.rpartition(":")[0]).strip("[]") if kind in ("ipv4", "ipv6") else ""

    def metadata(self, name: str) -> str:
        """A text entry of the client's metadata."""
        return str(dict(self._context.invocation_metadata() or ()).get(name, ""))


def _unary(method: Unary) -> Callable[[bytes, Context], Awaitable[Any]]:
    async def call(message: bytes, context: Context) -> Any:
        try:
            return b"".join(await method(message, _Call(context)))
        except PenstockError as err:
            await _abort(context, err)

    return call


def _streaming(method: Streaming) -> Callable[[AsyncIterator[bytes], Context], AsyncIterator[Any]]:
    async def call(messages: AsyncIterator[bytes], context: Context) -> AsyncIterator[Any]:
        try:
            async for answer in method(messages, _Call(context)):
                yield answer
        except PenstockError as err:
            await _abort(context, err)

    return call


async def _abort(context: Context, error: PenstockError) -> NoReturn:
    await context.abort(grpc.StatusCode[grpc_status(error).name], status_details(error.message))
