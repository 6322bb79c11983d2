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
    missing = (
        f"{artifact.id}: device '{name}' was asked for, but this {framework} sees {gpu_count} GPUs"
    )
    if fallback_to_cpu:
        _log.warning("%s; it computes on the CPU, as fallback_to_cpu says", missing)
        return "cpu"
    raise LoadFailed(
        f"{missing}; say instances.device: cpu, or runtime_options.fallback_to_cpu: true, or "
        f"install a {framework} built for CUDA where there is a GPU"
    )
