"""GrpcServer: the protocol's gRPC door, a thin shell over the dialect's codec.

grpc.aio, in the same process and on the same event loop as HTTP.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import grpc
import msgspec
from grpc_health.v1 import _async as health_aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from penstock.core.deadline import Deadline
from penstock.core.errors import ConfigError, Internal, PenstockError
from penstock.core.ids import LATEST, RequestIds
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

_MAX_DETAILS_BYTES = 1024

Context = grpc.aio.ServicerContext[Any, Any]
Rpc = Callable[["_Servicer", Any, Context], Awaitable[Any]]


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
        """Listen on ``host:port``, an IPv6 host in brackets.

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


def _guarded(rpc: Rpc) -> Rpc:
    """An RPC whose errors become statuses: a typed one its own, a bug of ours INTERNAL."""

    @functools.wraps(rpc)
    async def call(servicer: _Servicer, message: Any, context: Context) -> Any:
        try:
            return await rpc(servicer, message, context)
        except grpc.aio.AbortError:
            raise
        except PenstockError as err:
            servicer.reject(err)
            await _abort(context, err)
        except Exception:  # noqa: BLE001  # the edge of the dialect: a bug of ours is INTERNAL
            await _abort_internal(context)

    return call


class _Servicer(pb_grpc.GRPCInferenceServiceServicer):
    """The RPCs that work here; the others answer UNIMPLEMENTED by themselves."""

    def __init__(self, service: ModelService, views: Views, live: LiveSettings) -> None:
        self._service = service
        self._views = views
        self._live = live

    @_guarded
    async def ModelInfer(self, message: pb.ModelInferRequest, context: Context) -> Any:
        """One inference."""
        service = self._service
        request: InferRequest | None = None
        outcome = "internal"
        try:
            decoded = grpc_codec.decode_infer(message, service.clock.monotonic_ns())
            request = decoded.request
            self._take_metadata(request, context)
            request.timeline.decoded_ns = service.clock.monotonic_ns()
            response = await service.infer(request)
            answer = grpc_codec.encode_infer(classified(service, response, decoded.reply))
            outcome = "ok"
            return answer
        except PenstockError as err:
            outcome = err.code
            service.reject("grpc", request, err)
            await _abort(context, err)
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
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

    def reject(self, error: PenstockError) -> None:
        """Count a request that reached no model."""
        self._service.edge.reject("grpc", error.code)

    @_guarded
    async def ServerLive(self, message: Any, context: Context) -> Any:
        """An answer at all means live."""
        return pb.ServerLiveResponse(live=True)

    @_guarded
    async def ServerReady(self, message: Any, context: Context) -> Any:
        """Whether everything that should serve does."""
        return pb.ServerReadyResponse(ready=self._service.is_ready())

    @_guarded
    async def ModelReady(self, message: pb.ModelReadyRequest, context: Context) -> Any:
        """Whether a version would be given a request now."""
        ready = self._service.model_ready(message.name, read_version(message.version))
        return pb.ModelReadyResponse(ready=ready)

    @_guarded
    async def ServerMetadata(self, message: Any, context: Context) -> Any:
        """Name, version and extensions."""
        return grpc_messages.server_metadata(self._views.server())

    @_guarded
    async def ModelMetadata(self, message: pb.ModelMetadataRequest, context: Context) -> Any:
        """Inputs, outputs and versions."""
        await self._service.warm(message.name, read_version(message.version))
        view = self._views.model(message.name, read_version(message.version))
        return grpc_messages.model_metadata(view)

    @_guarded
    async def ModelConfig(self, message: pb.ModelConfigRequest, context: Context) -> Any:
        """How the model is served."""
        await self._service.warm(message.name, read_version(message.version))
        view = self._views.config(message.name, read_version(message.version))
        return grpc_messages.model_config(view)

    @_guarded
    async def ModelStatistics(self, message: pb.ModelStatisticsRequest, context: Context) -> Any:
        """What versions did."""
        view = self._views.statistics(message.name, read_version(message.version))
        return grpc_messages.model_statistics(view)

    @_guarded
    async def RepositoryIndex(self, message: pb.RepositoryIndexRequest, context: Context) -> Any:
        """Every model there is, and its state."""
        return grpc_messages.repository_index(self._views.index(ready_only=message.ready))

    @_guarded
    async def RepositoryModelLoad(
        self, message: pb.RepositoryModelLoadRequest, context: Context
    ) -> Any:
        """Load a model and wait until it is ready."""
        name, overrides = grpc_messages.read_load(message)
        await self._service.load(name, overrides)
        return pb.RepositoryModelLoadResponse()

    @_guarded
    async def RepositoryModelUnload(
        self, message: pb.RepositoryModelUnloadRequest, context: Context
    ) -> Any:
        """Unload a model and wait until it is gone."""
        await self._service.control.unload(grpc_messages.read_unload(message))
        return pb.RepositoryModelUnloadResponse()

    @_guarded
    async def TraceSetting(self, message: pb.TraceSettingRequest, context: Context) -> Any:
        """Read or change what is traced, of a model that serves or of all."""
        name = message.model_name
        if name:
            self._service.model(name, LATEST)
        changes = grpc_messages.read_trace_changes(message)
        settings = self._live.change_traces(changes, name) if changes else self._live.traces(name)
        return grpc_messages.trace_settings(settings)

    @_guarded
    async def LogSettings(self, message: pb.LogSettingsRequest, context: Context) -> Any:
        """Read or change what is logged."""
        changes = grpc_messages.read_log_changes(message)
        settings = self._live.change_logs(changes) if changes else self._live.logs()
        return grpc_messages.log_settings(settings)


async def _abort(context: Context, error: PenstockError) -> NoReturn:
    await context.abort(grpc.StatusCode[grpc_status(error).name], _details(error.message))


def _details(text: str) -> str:
    """A text no longer than clients take as a status's details; they lose longer ones, code and
    all.
    """
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= _MAX_DETAILS_BYTES:
        return encoded.decode()
    return encoded[:_MAX_DETAILS_BYTES].decode("utf-8", "ignore") + "..."


async def _abort_internal(context: Context) -> NoReturn:
    request_id = RequestIds().new()
    _log.exception("internal error", extra={"request_id": request_id})
    await _abort(
        context, Internal(f"internal error; the server's log has more under id {request_id}")
    )
