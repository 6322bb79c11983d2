"""Where a PyTorch model computes."""

from __future__ import annotations

import torch

from penstock.repository.artifact import ArtifactRef
from penstock.runtime.device import choose_device


def find_device(artifact: ArtifactRef, *, fallback_to_cpu: bool) -> torch.device:
    """The device the manifest asks for; see ``choose_device``."""
    name = choose_device(
        artifact,
        framework="PyTorch",
        gpu_count=torch.cuda.device_count() if torch.cuda.is_available() else 0,
        fallback_to_cpu=fallback_to_cpu,
    )
    return torch.device(name)
