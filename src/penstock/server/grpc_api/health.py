"""Health: gRPC's standard health service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from penstock.core.errors import InvalidArgument, NotFound, NotReady
from penstock.dialects.open_inference.grpc_wire import Buffer
from penstock.server.grpc_api.call import Call

NAME = "grpc.health.v1.Health"
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Health:
    """Says of each service whether it serves.

    Args:
        services: their names; "" stands for the server. None serves before ``start``.

    Source: grpc/doc/health-checking.md.
    """

    def __init__(self, services: Sequence[str]) -> None:
        self._statuses = dict.fromkeys(services, _NOT_SERVING)
        self._is_over = False
        self._watchers: set[asyncio.Event] = set()

    def start(self) -> None:
        """Say SERVING."""
        self._set(_SERVING)

    def stop(self) -> None:
        """Say NOT_SERVING, and end every watch with that."""
        self._is_over = True
        self._set(_NOT_SERVING)

    async def check(self, body: Buffer, call: Call) -> Sequence[Buffer]:
        """One service's status.

        Raises:
            NotFound: there is no such service.
        """
        del call
        name = _service(body)
        status = self._statuses.get(name)
        if status is None:
            raise NotFound(f"unknown service: '{name}'")
        return [health_pb2.HealthCheckResponse(status=status).SerializeToString()]

    async def watch(self, messages: AsyncIterator[Buffer], call: Call) -> AsyncIterator[bytes]:
        """One service's status, now and whenever it changes; unknown services too.

        Raises:
            InvalidArgument: the client says no service.
            NotReady: the server is on its way out.
        """
        del call
        name = _service(await _first(messages))
        changed = asyncio.Event()
        self._watchers.add(changed)
        last = None
        try:
            while True:
                changed.clear()
                status = self._statuses.get(name, _UNKNOWN)
                if status != last:
                    last = status
                    yield health_pb2.HealthCheckResponse(status=status).SerializeToString()
                if self._is_over:
                    raise NotReady("the server is shutting down")
                await changed.wait()
        finally:
            self._watchers.discard(changed)

    def _set(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        self._statuses = dict.fromkeys(self._statuses, status)
        for changed in self._watchers:
            changed.set()


async def _first(messages: AsyncIterator[Buffer]) -> Buffer:
    async for message in messages:
        return message
    raise InvalidArgument("Watch expects one HealthCheckRequest message, got none")


def _service(body: Buffer) -> str:
    try:
        name: str = health_pb2.HealthCheckRequest.FromString(bytes(body)).service
    except DecodeError as err:
        raise InvalidArgument(f"the request is no valid HealthCheckRequest message: {err}") from err
    return name
