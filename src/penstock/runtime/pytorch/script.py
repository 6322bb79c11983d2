"""TorchScript: loaded, and called with errors of one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from penstock.core.errors import LoadFailed, may_pass
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.first_line import first_line


def load_script(artifact: ArtifactRef, device: torch.device) -> Any:
    """The module, for inference.

    Raises:
        LoadFailed: it is damaged, or uses operators this PyTorch does not have.
    """
    try:
        return torch.jit.load(artifact.path, map_location=device).eval()
    except Exception as err:
        raise LoadFailed(
            f"{artifact.id}: {artifact.path.name} is no TorchScript that PyTorch "
            f"{torch.__version__} can load: {first_line(err)}",
            retryable=may_pass(err),
        ) from err


def terse(module: Callable[..., Any]) -> Callable[..., Any]:
    """The module, whose errors say what went wrong and leave out the listing of its code."""

    def call(**tensors: torch.Tensor) -> Any:
        try:
            return module(**tensors)
        except (RuntimeError, torch.jit.Error) as err:
            reason = str(err).strip().splitlines()[-1]
            raise RuntimeError(
                reason.removeprefix("builtins.").removeprefix("RuntimeError: ")
            ) from err

    return call
