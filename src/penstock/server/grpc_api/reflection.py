"""Reflection: gRPC's standard service that tells clients of the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from penstock.core.errors import InvalidArgument
from penstock.dialects.open_inference.grpc_wire import Buffer
from penstock.server.grpc_api.call import Call

if TYPE_CHECKING:
    from google.protobuf.descriptor_pool import DescriptorPool

NAME = "grpc.reflection.v1alpha.ServerReflection"


class Reflection:
    """grpcio's own implementation, which brings grpcio with it: imported by the first question.

    Args:
        services: the names it tells.
        pool: the descriptors it tells.
    """

    def __init__(self, services: Sequence[str], pool: DescriptorPool) -> None:
        self._services = services
        self._pool = pool
        self._servicer: Any = None

    async def info(self, messages: AsyncIterator[Buffer], call: Call) -> AsyncIterator[bytes]:
        """Answer questions, one by one.

        Raises:
            InvalidArgument: a message is no question.
        """
        del call
        if self._servicer is None:
            self._servicer = await asyncio.to_thread(self._load)
        async for body in messages:
            question = iter((_question(body),))
            yield next(self._servicer.ServerReflectionInfo(question, None)).SerializeToString()

    def _load(self) -> Any:
        from grpc_reflection.v1alpha.reflection import ReflectionServicer

        return ReflectionServicer(self._services, pool=self._pool)


def _question(body: Buffer) -> Any:
    from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest

    try:
        return ServerReflectionRequest.FromString(bytes(body))
    except DecodeError as err:
        raise InvalidArgument(f"the request is no valid ServerReflectionRequest: {err}") from err
