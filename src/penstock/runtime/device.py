"""Which device of those there are computes a model."""

from __future__ import annotations

import logging

from penstock.core.errors import LoadFailed
from penstock.repository.artifact import ArtifactRef

_log = logging.getLogger("penstock.runtime")


def choose_device(
    artifact: ArtifactRef, *, framework: str, gpu_count: int, fallback_to_cpu: bool
) -> str:
    """``cpu`` or ``cuda:N``, as the manifest asks.

    Args:
        artifact: the model.
        framework: its name, for the message.
        gpu_count: GPUs that the framework sees.
        fallback_to_cpu: whether a missing GPU means the CPU, and a warning in the log.

    Raises:
        LoadFailed: the device is not there; says what is, and what to do.
    """
    name = artifact.manifest.instances.device
    kind, _, index = name.partition(":")
    if kind == "cpu":
        return "cpu"
    if kind == "cuda" and int(index or 0) < gpu_count:
        return f"cuda:{index or 0}"
    without_device(
        artifact,
        name,
        there=f"{framework} sees {gpu_count} GPUs",
        remedy="say instances.device: cpu, or runtime_options.fallback_to_cpu: true, or install a "
        f"{framework} built for CUDA where there is a GPU",
        fallback_to_cpu=fallback_to_cpu,
    )
    return "cpu"


def without_device(
    artifact: ArtifactRef, name: str, *, there: str, remedy: str, fallback_to_cpu: bool
) -> None:
    """Say that a device is not there: in the log where the CPU may do its work, else as an error.

    Args:
        artifact: the model.
        name: the device that was asked for.
        there: the framework, and what it has instead: ``PyTorch sees 0 GPUs``.
        remedy: what to do.
        fallback_to_cpu: whether the CPU may compute.

    Raises:
        LoadFailed: it may not.
    """
    if not fallback_to_cpu:
        raise no_device(artifact, name, there=there, remedy=remedy)
    _log.warning(
        "%s; it computes on the CPU, as fallback_to_cpu says", _missing(artifact, name, there)
    )


def no_device(artifact: ArtifactRef, name: str, *, there: str, remedy: str) -> LoadFailed:
    """The error of a device that is not there; see ``without_device``."""
    return LoadFailed(f"{_missing(artifact, name, there)}; {remedy}")


def _missing(artifact: ArtifactRef, name: str, there: str) -> str:
    return f"{artifact.id}: device '{name}' was asked for, but this {there}"
