"""gRPC messages of everything but inference, from the same plain values that REST writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message

from penstock.dialects.open_inference import repository
from penstock.dialects.open_inference.grpc_codec import plain
from penstock.dialects.open_inference.log_settings import LogSettings, log_settings_body
from penstock.dialects.open_inference.proto import grpc_predict_v2_pb2 as pb
from penstock.dialects.open_inference.proto.pool import POOL
from penstock.dialects.open_inference.trace_settings import TraceSettings, trace_settings_body

_Message = TypeVar("_Message", bound=Message)


def server_metadata(value: dict[str, Any]) -> pb.ServerMetadataResponse:
    """The message of ``metadata.server_metadata``."""
    return _fill(pb.ServerMetadataResponse(), value)


def model_metadata(value: dict[str, Any]) -> pb.ModelMetadataResponse:
    """The message of ``metadata.model_metadata``."""
    return _fill(pb.ModelMetadataResponse(), value)


def model_config(value: dict[str, Any]) -> pb.ModelConfigResponse:
    """The message of ``model_config.model_config``."""
    return _fill(pb.ModelConfigResponse(), {"config": value})


def model_statistics(value: dict[str, Any]) -> pb.ModelStatisticsResponse:
    """The message of ``statistics.model_statistics``."""
    return _fill(pb.ModelStatisticsResponse(), value)


def repository_index(entries: Sequence[Mapping[str, str]]) -> pb.RepositoryIndexResponse:
    """The message of ``repository.index_entries``."""
    return _fill(pb.RepositoryIndexResponse(), {"models": list(entries)})


def read_load(message: pb.RepositoryModelLoadRequest) -> tuple[str, dict[str, Any] | None]:
    """The model to load, and what is replaced in its manifest.

    A message with field 1 only is read as KServe numbers it: field 1 is the model's name.

    Raises:
        InvalidArgument, ConfigError, Unsupported: as ``repository.check_names`` and
            ``repository.read_load_parameters``.
    """
    name = _model_name(message)
    return name, repository.read_load_parameters(plain(message.parameters))


def read_unload(message: pb.RepositoryModelUnloadRequest) -> str:
    """The model to unload; numbering and errors as ``read_load``."""
    name = _model_name(message)
    repository.read_unload_parameters(plain(message.parameters))
    return name


def trace_settings(settings: TraceSettings) -> pb.TraceSettingResponse:
    """The message of the trace settings that hold."""
    message = pb.TraceSettingResponse()
    for name, value in trace_settings_body(settings).items():
        message.settings[name].value.extend(value if isinstance(value, list) else [value])
    return message


def read_trace_changes(message: pb.TraceSettingRequest) -> dict[str, Any]:
    """The changes for ``TraceBook.change``; a setting with no value goes back (None)."""
    return {name: list(setting.value) or None for name, setting in message.settings.items()}


def log_settings(settings: LogSettings) -> pb.LogSettingsResponse:
    """The message of the log settings that hold."""
    message = pb.LogSettingsResponse()
    for name, value in log_settings_body(settings).items():
        if isinstance(value, bool):
            message.settings[name].bool_param = value
        elif isinstance(value, int):
            message.settings[name].uint32_param = value
        else:
            message.settings[name].string_param = value
    return message


def read_log_changes(message: pb.LogSettingsRequest) -> dict[str, Any]:
    """The changes for ``change_log_settings``.

    Raises:
        InvalidArgument: a setting holds no value.
    """
    return plain(message.settings)


def _fill(message: _Message, value: dict[str, Any]) -> _Message:
    return json_format.ParseDict(value, message, descriptor_pool=POOL)


def _model_name(
    message: pb.RepositoryModelLoadRequest | pb.RepositoryModelUnloadRequest,
) -> str:
    if message.repository_name and not message.model_name:
        repository.check_names(message.repository_name)
        return message.repository_name
    repository.check_names(message.model_name, message.repository_name)
    return message.model_name
