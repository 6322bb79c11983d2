"""Placement: where a framework that knows no accelerator may be asked to compute."""

from __future__ import annotations

from penstock.core.errors import LoadFailed
from penstock.repository.artifact import ArtifactRef


def need_cpu(artifact: ArtifactRef, framework: str) -> None:
    """See that a framework that computes on the CPU only is asked for nothing else.

    Raises:
        LoadFailed: the manifest names another device.
    """
    device = artifact.manifest.instances.device
    if device != "cpu":
        raise LoadFailed(
            f"{artifact.id}: device '{device}' was asked for, but {framework} computes "
            "predictions on the CPU only: say instances.device: cpu"
        )
