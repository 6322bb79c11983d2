"""A state dict and the class it belongs to, become a module."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from penstock.core.errors import LoadFailed, may_pass
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.first_line import first_line
from penstock.runtime.pytorch.file_kind import TorchFile, look
from penstock.runtime.read_options import wrong_option

_INSTALL = "pip install 'penstock[torch]'"
_WRAPPERS = ("state_dict", "model_state_dict")
_SHOWN_NAMES = 4


def load_weights(artifact: ArtifactRef, file: str, module: torch.nn.Module) -> None:
    """Fill a module from ``.safetensors``, or from a file of ``torch.save`` as weights only.

    A training checkpoint that keeps the weights under ``state_dict`` or ``model_state_dict`` will
    do. Nothing of the file is run.

    Raises:
        LoadFailed: the file is not there, is damaged, holds more than weights, or they are not
            this module's.
    """
    path = _inside(artifact, file)
    read = _read_safetensors if path.suffix == ".safetensors" else _read_saved
    state = read(artifact, path)
    try:
        keys = module.load_state_dict(state, strict=False)
    except RuntimeError as err:
        reason = " ".join(str(err).split())
        raise LoadFailed(f"{artifact.id}: {file} does not fit the class: {reason}") from err
    for text, names in (("lacks", keys.missing_keys), ("has besides", keys.unexpected_keys)):
        if names:
            raise LoadFailed(
                f"{artifact.id}: {file} {text} {sorted(names)[:_SHOWN_NAMES]}, "
                f"{len(names)} in all: it is the state dict of another class than "
                f"{type(module).__name__}, or of other arguments of its constructor"
            )


def pickle_refusal(artifact: ArtifactRef, path: Path) -> LoadFailed:
    """Why a file of ``torch.save`` is not the model itself; looks without running anything."""
    foreign = _foreign_names(path)
    advice = (
        "serve a state dict with its class: runtime: torch, entry: net.py:Net, "
        f"runtime_options: {{weights: {path.name}}}; or save the model by torch.export.save"
    )
    if foreign:
        return LoadFailed(
            f"{artifact.id}: {path.name} is refused: it is a pickle that names "
            f"{', '.join(foreign[:_SHOWN_NAMES])}, and unpickling it can run any code. "
            f"Save model.state_dict() instead, and {advice}"
        )
    return LoadFailed(f"{artifact.id}: {path.name} holds weights without their class: {advice}")


def _foreign_names(path: Path) -> list[str]:
    """The classes and functions a pickle names beyond those of tensors; empty: none."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(str(path)))
    except (ValueError, RuntimeError, EOFError, pickle.UnpicklingError):
        return ["what cannot be told"]  # an old form of file, which nothing looks into


def _inside(artifact: ArtifactRef, file: str) -> Path:
    path = artifact.root / file
    if PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts:
        raise wrong_option(
            artifact, "weights", f"expected a path in the version's folder, got {file!r}"
        )
    if not path.is_file():
        raise LoadFailed(f"{artifact.id}: there is no weights file '{file}' beside the class")
    return path


def _read_safetensors(artifact: ArtifactRef, path: Path) -> Mapping[str, torch.Tensor]:
    try:
        from safetensors.torch import load_file

        return dict(load_file(path))
    except ModuleNotFoundError as err:
        text = f"{artifact.id}: {path.name} needs the package 'safetensors': {_INSTALL}"
        raise LoadFailed(text) from err
    except Exception as err:
        text = f"{artifact.id}: {path.name} is no safetensors file, or is cut off: {err}"
        raise LoadFailed(text, retryable=may_pass(err)) from err


def _read_saved(artifact: ArtifactRef, path: Path) -> Mapping[str, torch.Tensor]:
    if look(artifact.id, path) is not TorchFile.SAVED:
        raise LoadFailed(
            f"{artifact.id}: {path.name} is a whole model, no state dict: serve it by itself"
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as err:
        if _foreign_names(path):
            raise pickle_refusal(artifact, path) from err
        text = f"{artifact.id}: {path.name} is damaged: {first_line(err)}"
        raise LoadFailed(text, retryable=may_pass(err)) from err
    state = next((state[key] for key in _WRAPPERS if _has_mapping(state, key)), state)
    if not isinstance(state, Mapping):
        kind = type(state).__name__
        raise LoadFailed(f"{artifact.id}: {path.name} holds a {kind}, expected a state dict")
    return state


def _has_mapping(state: Any, key: str) -> bool:
    return isinstance(state, Mapping) and isinstance(state.get(key), Mapping)
