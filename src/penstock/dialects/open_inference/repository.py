"""The model repository extension: index, load and unload."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from penstock.core.errors import InvalidArgument, Unsupported
from penstock.core.status import VersionState, VersionStatus
from penstock.dialects.open_inference import json_text
from penstock.dialects.open_inference.config_overrides import overrides_from_config

_STATES = {
    VersionState.NEW: ("UNAVAILABLE", "waiting to be loaded"),
    VersionState.LOADING: ("LOADING", ""),
    VersionState.READY: ("READY", ""),
    VersionState.UNLOADING: ("UNLOADING", ""),
    VersionState.UNLOADED: ("UNAVAILABLE", "unloaded"),
    VersionState.FAILED: ("UNAVAILABLE", "failed to load"),
}


def index_entries(
    statuses: Sequence[VersionStatus], stored: Iterable[str] = (), ready_only: bool = False
) -> list[dict[str, str]]:
    """The answer of ``POST /v2/repository/index``, and of ``RepositoryIndex`` as ``models``.

    Args:
        statuses: every version that was ever asked to load.
        stored: names of the models in the repository; one with no status appears by name only.
        ready_only: only versions that are ready.

    Returns:
        one entry per version, by name and version.
    """
    wanted = [s for s in statuses if s.state is VersionState.READY or not ready_only]
    entries = [_entry(status) for status in sorted(wanted, key=lambda status: status.id)]
    if not ready_only:
        known = {status.id.name for status in statuses}
        entries += [{"name": name} for name in sorted(set(stored) - known)]
    return entries


def read_index_body(body: bytes) -> bool:
    """Whether an index request wants ready versions only; the body may be empty.

    Raises:
        InvalidArgument: the body is no JSON object, or ``ready`` no boolean.
    """
    ready = _read_object(body).get("ready", False)
    if not isinstance(ready, bool):
        raise InvalidArgument("Invalid value for 'ready': expected a boolean")
    return ready


def read_load_body(body: bytes) -> dict[str, Any] | None:
    """What a load request replaces in the model's manifest; the body may be empty.

    Returns:
        fields in the manifest's form, see ``overrides_from_config``; None: nothing is replaced.

    Raises:
        InvalidArgument: the body is no JSON object, or ``config`` is no text.
        ConfigError, Unsupported: see ``overrides_from_config``; model files in the request are
            not supported.
    """
    return read_load_parameters(_read_parameters(body))


def read_load_parameters(parameters: Mapping[str, Any]) -> dict[str, Any] | None:
    """As ``read_load_body``, of the parameters themselves."""
    overrides: dict[str, Any] | None = None
    for name, value in parameters.items():
        if name.startswith("file:"):
            raise Unsupported(
                f"parameter {json_text.show(name)}: loading a model from files in the request "
                "is not supported by this server; put them into the model repository"
            )
        if name != "config":
            raise InvalidArgument(
                f"unrecognized parameter {json_text.show(name)} of a load request, "
                "expected 'config'"
            )
        if not isinstance(value, str):
            raise InvalidArgument("parameter 'config' of a load request must be JSON text")
        overrides = overrides_from_config(value)
    return overrides


def read_unload_body(body: bytes) -> None:
    """Check an unload request; the body may be empty. See ``read_unload_parameters``."""
    read_unload_parameters(_read_parameters(body))


def read_unload_parameters(parameters: Mapping[str, Any]) -> None:
    """Check the parameters of an unload request.

    ``unload_dependents`` is accepted and changes nothing: no model here owns others.

    Raises:
        InvalidArgument: it is no boolean, or a parameter is unknown.
    """
    for name, value in parameters.items():
        if name != "unload_dependents":
            raise InvalidArgument(
                f"unrecognized parameter {json_text.show(name)} of an unload request, "
                "expected 'unload_dependents'"
            )
        if not isinstance(value, bool):
            raise InvalidArgument("parameter 'unload_dependents' must be a boolean")


def check_names(model: str, repository: str = "") -> None:
    """Check whom a load or unload request names.

    Raises:
        InvalidArgument: the model's name is empty or would leave the repository.
        Unsupported: a repository is named; there is no choice of repositories.
    """
    if repository:
        raise Unsupported("'repository_name' specification is not supported")
    if not model:
        raise InvalidArgument("Model name cannot be empty; name the model to load or unload")
    if "/" in model or "\\" in model or model in (".", ".."):
        raise InvalidArgument("model name must not contain path traversal characters")


def _entry(status: VersionStatus) -> dict[str, str]:
    state, reason = _STATES[status.state]
    entry = {"name": status.id.name, "version": str(status.id.version), "state": state}
    reason = status.reason or reason
    return {**entry, "reason": reason} if reason else entry


def _read_parameters(body: bytes) -> dict[str, Any]:
    parameters = _read_object(body).get("parameters", {})
    if not isinstance(parameters, dict):
        raise InvalidArgument("'parameters' must be an object")
    return parameters


def _read_object(body: bytes) -> dict[str, Any]:
    value = json_text.parse(body) if body.strip() else {}
    if not isinstance(value, dict):
        raise InvalidArgument("the body of a repository request must be a JSON object or empty")
    return value
