"""Servicer: the methods of ``inference.GRPCInferenceService``, a thin shell over the codec."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from google.protobuf.message import DecodeError

from penstock.core.deadline import Deadline
from penstock.core.eager import in_a_task
from penstock.core.errors import DeadlineExceeded, Internal, InvalidArgument, PenstockError
from penstock.core.ids import LATEST, RequestIds
from penstock.core.messages import InferRequest
from penstock.dialects.open_inference import grpc_messages
from penstock.dialects.open_inference.grpc_codec import decode_infer, read_version
from penstock.dialects.open_inference.grpc_wire import Buffer, encode_infer, read_infer
from penstock.dialects.open_inference.proto import grpc_predict_v2_pb2 as pb
from penstock.server.classified import classified
from penstock.server.grpc_api.call import Call, Unary
from penstock.server.service import ModelService
from penstock.server.settings_api import LiveSettings
from penstock.server.views import Views

NAME = "inference.GRPCInferenceService"
_WHO = "gRPC"
_log = logging.getLogger("penstock.grpc")


class Servicer:
    """The methods that work here; the others are nobody's, which answers UNIMPLEMENTED.

    Args:
        service: what is served.
        views: what is told of it.
        live: the settings that can be changed.
    """

    def __init__(self, service: ModelService, views: Views, live: LiveSettings) -> None:
        self._service = service
        self._views = views
        self._live = live

    def methods(self) -> dict[str, Unary]:
        """Every method by its name."""
        return {
            "ModelInfer": self.infer,
            "ServerLive": self._control(pb.ServerLiveRequest, self._server_live),
            "ServerReady": self._control(pb.ServerReadyRequest, self._server_ready),
            "ModelReady": self._control(pb.ModelReadyRequest, self._model_ready),
            "ServerMetadata": self._control(pb.ServerMetadataRequest, self._server_metadata),
            "ModelMetadata": self._control(pb.ModelMetadataRequest, self._model_metadata),
            "ModelConfig": self._control(pb.ModelConfigRequest, self._model_config),
            "ModelStatistics": self._control(pb.ModelStatisticsRequest, self._statistics),
            "RepositoryIndex": self._control(pb.RepositoryIndexRequest, self._index),
            "RepositoryModelLoad": self._control(pb.RepositoryModelLoadRequest, self._load),
            "RepositoryModelUnload": self._control(pb.RepositoryModelUnloadRequest, self._unload),
            "TraceSetting": self._control(pb.TraceSettingRequest, self._trace_setting),
            "LogSettings": self._control(pb.LogSettingsRequest, self._log_settings),
        }

    async def infer(self, body: Buffer, call: Call) -> Sequence[Buffer]:
        """One inference."""
        service = self._service
        request: InferRequest | None = None
        outcome = "internal"
        try:
            started_ns = service.clock.monotonic_ns()
            message, raw = read_infer(body)
            decoded = decode_infer(message, started_ns, raw=raw)
            request = decoded.request
            self._take_metadata(request, call)
            request.timeline.decoded_ns = service.clock.monotonic_ns()
            response = await service.infer(request)
            answer = encode_infer(classified(service, response, decoded.reply))
            outcome = "ok"
            return answer
        except PenstockError as err:
            outcome = err.code
            service.reject("grpc", request, err)
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        except Exception:  # noqa: BLE001  # the edge of the dialect: a bug of ours is INTERNAL
            raise _internal() from None
        finally:
            if service.recorders and request is not None:
                service.record(request, outcome)

    def _take_metadata(self, request: InferRequest, call: Call) -> None:
        remaining_s = call.time_remaining()
        if remaining_s is not None:
            deadline = Deadline.after(remaining_s, self._service.clock.monotonic_ns())
            request.deadline = min(deadline, request.deadline or deadline)
        if self._service.recorders:
            request.traceparent = call.metadata("traceparent")
        if self._service.routes:
            request.headers, request.client = call.headers, call.client

    def _control(self, kind: Any, method: Callable[[Any], Awaitable[Any]]) -> Unary:
        """A method of ``kind`` messages within its client's deadline; a refusal is counted."""

        async def answer(body: Buffer, call: Call) -> Sequence[Buffer]:
            try:
                await in_a_task()
                response = await _within(method(_read(kind, body)), call.time_remaining())
                return [response.SerializeToString()]
            except PenstockError as err:
                self._service.edge.reject("grpc", err.code)
                raise
            except Exception:  # noqa: BLE001  # the edge of the dialect: a bug of ours is INTERNAL
                raise _internal() from None

        return answer

    async def _server_live(self, message: Any) -> Any:
        """An answer at all means live."""
        return pb.ServerLiveResponse(live=True)

    async def _server_ready(self, message: Any) -> Any:
        """Whether everything that should serve does."""
        return pb.ServerReadyResponse(ready=self._service.is_ready())

    async def _model_ready(self, message: pb.ModelReadyRequest) -> Any:
        """Whether a version would be given a request now."""
        ready = self._service.model_ready(message.name, read_version(message.version))
        return pb.ModelReadyResponse(ready=ready)

    async def _server_metadata(self, message: Any) -> Any:
        """Name, version and extensions."""
        return grpc_messages.server_metadata(self._views.server())

    async def _model_metadata(self, message: pb.ModelMetadataRequest) -> Any:
        """Inputs, outputs and versions."""
        await self._service.warm(message.name, read_version(message.version))
        view = self._views.model(message.name, read_version(message.version))
        return grpc_messages.model_metadata(view)

    async def _model_config(self, message: pb.ModelConfigRequest) -> Any:
        """How the model is served."""
        await self._service.warm(message.name, read_version(message.version))
        view = self._views.config(message.name, read_version(message.version))
        return grpc_messages.model_config(view)

    async def _statistics(self, message: pb.ModelStatisticsRequest) -> Any:
        """What versions did."""
        view = await self._views.statistics(message.name, read_version(message.version))
        return grpc_messages.model_statistics(view)

    async def _index(self, message: pb.RepositoryIndexRequest) -> Any:
        """Every model there is, and its state."""
        return grpc_messages.repository_index(self._views.index(ready_only=message.ready))

    async def _load(self, message: pb.RepositoryModelLoadRequest) -> Any:
        """Load a model and wait until it is ready."""
        name, overrides = grpc_messages.read_load(message)
        await self._service.load(name, overrides, who=_WHO)
        return pb.RepositoryModelLoadResponse()

    async def _unload(self, message: pb.RepositoryModelUnloadRequest) -> Any:
        """Unload a model and wait until it is gone."""
        await self._service.unload(grpc_messages.read_unload(message), who=_WHO)
        return pb.RepositoryModelUnloadResponse()

    async def _trace_setting(self, message: pb.TraceSettingRequest) -> Any:
        """Read or change what is traced, of a model that serves or of all."""
        name = message.model_name
        if name:
            self._service.model(name, LATEST)
        changes = grpc_messages.read_trace_changes(message)
        if changes:
            await self._live.change_traces(changes, name, who=_WHO)
        return grpc_messages.trace_settings(self._live.traces(name))

    async def _log_settings(self, message: pb.LogSettingsRequest) -> Any:
        """Read or change what is logged."""
        changes = grpc_messages.read_log_changes(message)
        if changes:
            await self._live.change_logs(changes, who=_WHO)
        return grpc_messages.log_settings(self._live.logs())


def _read(kind: Any, body: Buffer) -> Any:
    try:
        return kind.FromString(bytes(body))
    except DecodeError as err:
        name = kind.DESCRIPTOR.name
        raise InvalidArgument(f"the request is no valid {name} message: {err}") from err


async def _within(work: Awaitable[Any], timeout_s: float | None) -> Any:
    """What ``work`` brings.

    Raises:
        DeadlineExceeded: it did not in time.
    """
    try:
        async with asyncio.timeout(timeout_s) as limit:
            return await work
    except TimeoutError:
        if not limit.expired():
            raise
        raise DeadlineExceeded("the call's deadline passed before its answer was there") from None


def _internal() -> Internal:
    """The error of a bug of ours, which is being handled: the log has it, the client an id."""
    request_id = RequestIds().new()
    _log.exception("internal error", extra={"request_id": request_id})
    return Internal(f"internal error; the server's log has more under id {request_id}")
