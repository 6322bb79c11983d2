"""GrpcServer: the protocol's gRPC door, a thin shell over the dialect's codec.

grpc.aio, in the same process and on the same event loop as HTTP.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import grpc
import msgspec
from grpc_health.v1 import _async as health_aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from penstock.core.deadline import Deadline
from penstock.core.errors import ConfigError, Internal, PenstockError
from penstock.core.ids import RequestIds
from penstock.core.messages import InferRequest
from penstock.dialects.open_inference import grpc_codec, grpc_messages
from penstock.dialects.open_inference.errors import grpc_status
from penstock.dialects.open_inference.grpc_codec import read_version
from penstock.dialects.open_inference.proto import grpc_predict_v2_pb2 as pb
from penstock.dialects.open_inference.proto import grpc_predict_v2_pb2_grpc as pb_grpc
from penstock.dialects.open_inference.proto.pool import POOL
from penstock.server.classified import classified
from penstock.server.service import ModelService
from penstock.server.settings_api import LiveSettings
from penstock.server.views import Views

_log = logging.getLogger("penstock.grpc")
_SERVICE = "inference.GRPCInferenceService"

Context = grpc.aio.ServicerContext[Any, Any]
A = TypeVar("A")


class GrpcOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the gRPC door is set up.

    Attributes:
        max_message_bytes: the most a message may take, either way; -1: no limit.
    """

    max_message_bytes: int = -1


class GrpcServer:
    """Serves one ModelService over gRPC, with the standard health and reflection services."""

    def __init__(
        self, service: ModelService, views: Views, live: LiveSettings, options: GrpcOptions
    ) -> None:
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", options.max_message_bytes),
                ("grpc.max_send_message_length", options.max_message_bytes),
                ("grpc.so_reuseport", 0),
            ]
        )
        pb_grpc.add_GRPCInferenceServiceServicer_to_server(  # type: ignore[no-untyped-call]
            _Servicer(service, views, live), self._server
        )
        self._health = health_aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server, pool=POOL)

    async def start(self, address: str) -> None:
        """Listen on ``host:port``.

        Raises:
            ConfigError: the address cannot be had.
        """
        try:
            self._server.add_insecure_port(address)
        except RuntimeError as err:
            raise ConfigError(f"cannot listen on {address} for gRPC: {err}") from err
        await self._server.start()
        for name in ("", _SERVICE):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def stop(self, timeout_s: float) -> None:
        """Say NOT_SERVING, take no new calls, and wait for those under way."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(timeout_s)


class _Servicer(pb_grpc.GRPCInferenceServiceServicer):
    """The RPCs that work here; the others answer UNIMPLEMENTED by themselves."""

    def __init__(self, service: ModelService, views: Views, live: LiveSettings) -> None:
        self._service = service
        self._views = views
        self._live = live

    async def ModelInfer(self, message: pb.ModelInferRequest, context: Context) -> Any:
        """One inference."""
        service = self._service
        request: InferRequest | None = None
        outcome = "ok"
        try:
            decoded = grpc_codec.decode_infer(message, service.clock.monotonic_ns())
            request = decoded.request
            self._take_metadata(request, context)
            request.timeline.decoded_ns = service.clock.monotonic_ns()
            response = await service.infer(request)
            return grpc_codec.encode_infer(classified(service, response, decoded.reply))
        except PenstockError as err:
            outcome = err.code
            service.reject("grpc", request, err)
            await _abort(context, err)
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        except Exception:  # noqa: BLE001  # the edge of the dialect: a bug of ours is INTERNAL
            outcome = "internal"
            await _abort_internal(context)
        finally:
            if service.recorders and request is not None:
                service.record(request, outcome)

    def _take_metadata(self, request: InferRequest, context: Context) -> None:
        remaining_s = context.time_remaining()
        if remaining_s is not None:
            deadline = Deadline.after(remaining_s, request.timeline.started_ns)
            request.deadline = min(deadline, request.deadline or deadline)
        if self._service.recorders:
            metadata = dict(context.invocation_metadata() or ())
            request.traceparent = str(metadata.get("traceparent", ""))

    async def ServerLive(self, message: Any, context: Context) -> Any:
        """An answer at all means live."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, message: Any, context: Context) -> Any:
        """Whether everything that should serve does."""
        return pb.ServerReadyResponse(ready=self._service.is_ready())

    async def ModelReady(self, message: pb.ModelReadyRequest, context: Context) -> Any:
        """Whether a version would be given a request now."""
        return await self._answer(
            context,
            lambda: pb.ModelReadyResponse(
                ready=self._service.model_ready(message.name, read_version(message.version))
            ),
        )

    async def ServerMetadata(self, message: Any, context: Context) -> Any:
        """Name, version and extensions."""
        return grpc_messages.server_metadata(self._views.server())

    async def ModelMetadata(self, message: pb.ModelMetadataRequest, context: Context) -> Any:
        """Inputs, outputs and versions."""
        return await self._answer(
            context,
            lambda: grpc_messages.model_metadata(
                self._views.model(message.name, read_version(message.version))
            ),
        )

    async def ModelConfig(self, message: pb.ModelConfigRequest, context: Context) -> Any:
        """How the model is served."""
        return await self._answer(
            context,
            lambda: grpc_messages.model_config(
                self._views.config(message.name, read_version(message.version))
            ),
        )

    async def ModelStatistics(self, message: pb.ModelStatisticsRequest, context: Context) -> Any:
        """What versions did."""
        return await self._answer(
            context,
            lambda: grpc_messages.model_statistics(
                self._views.statistics(message.name, read_version(message.version))
            ),
        )

    async def RepositoryIndex(self, message: pb.RepositoryIndexRequest, context: Context) -> Any:
        """Every model there is, and its state."""
        return await self._answer(
            context,
            lambda: grpc_messages.repository_index(self._views.index(ready_only=message.ready)),
        )

    async def RepositoryModelLoad(
        self, message: pb.RepositoryModelLoadRequest, context: Context
    ) -> Any:
        """Load a model and wait until it is ready."""
        try:
            name, overrides = grpc_messages.read_load(message)
            await self._service.load(name, overrides)
        except PenstockError as err:
            await self._refuse(context, err)
        return pb.RepositoryModelLoadResponse()

    async def RepositoryModelUnload(
        self, message: pb.RepositoryModelUnloadRequest, context: Context
    ) -> Any:
        """Unload a model and wait until it is gone."""
        try:
            await self._service.control.unload(grpc_messages.read_unload(message))
        except PenstockError as err:
            await self._refuse(context, err)
        return pb.RepositoryModelUnloadResponse()

    async def TraceSetting(self, message: pb.TraceSettingRequest, context: Context) -> Any:
        """Read or change what is traced."""

        def change() -> Any:
            changes = grpc_messages.read_trace_changes(message)
            name = message.model_name
            settings = (
                self._live.change_traces(changes, name) if changes else self._live.traces(name)
            )
            return grpc_messages.trace_settings(settings)

        return await self._answer(context, change)

    async def LogSettings(self, message: pb.LogSettingsRequest, context: Context) -> Any:
        """Read or change what is logged."""

        def change() -> Any:
            changes = grpc_messages.read_log_changes(message)
            settings = self._live.change_logs(changes) if changes else self._live.logs()
            return grpc_messages.log_settings(settings)

        return await self._answer(context, change)

    async def _answer(self, context: Context, make: Callable[[], A]) -> A:
        try:
            return make()
        except PenstockError as err:
            await self._refuse(context, err)

    async def _refuse(self, context: Context, error: PenstockError) -> NoReturn:
        self._service.edge.reject("grpc", error.code)
        await _abort(context, error)


async def _abort(context: Context, error: PenstockError) -> NoReturn:
    await context.abort(grpc.StatusCode[grpc_status(error).name], error.message)


async def _abort_internal(context: Context) -> NoReturn:
    request_id = RequestIds().new()
    _log.exception("internal error", extra={"request_id": request_id})
    await _abort(
        context, Internal(f"internal error; the server's log has more under id {request_id}")
    )
