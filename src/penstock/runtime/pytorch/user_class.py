"""A ``torch.nn.Module`` class in a user's file, made and filled with its weights."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import torch

from penstock.core.errors import LoadFailed
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.python_file import forget, import_file, raised
from penstock.runtime.pytorch.weights import load_weights
from penstock.runtime.read_options import wrong_option


def load_class(
    artifact: ArtifactRef, weights: str | None, arguments: Mapping[str, Any]
) -> torch.nn.Module:
    """Make the module the manifest's entry names.

    Args:
        artifact: whose file is imported: its code runs.
        weights: the state dict's file, relative to the version's folder.
        arguments: keyword arguments of the class.

    Raises:
        LoadFailed: its code raised, there is no such class, or the weights do not fit.
    """
    if weights is None:
        raise wrong_option(
            artifact,
            "weights",
            f"{artifact.path.name} is a class: say the file of its state dict here",
        )
    file = import_file(artifact)
    try:
        kind = _find_class(artifact, file)
        module = _make(artifact, kind, arguments)
        load_weights(artifact, weights, module)
    except LoadFailed:
        forget(file.__name__)
        raise
    return module


def _make(artifact: ArtifactRef, kind: Any, arguments: Mapping[str, Any]) -> torch.nn.Module:
    try:
        module: torch.nn.Module = kind(**arguments)
    except Exception as err:
        raise raised(artifact, f"making {kind.__name__}({_call(arguments)})", err) from err
    return module


def _call(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


def _find_class(artifact: ArtifactRef, file: ModuleType) -> Any:
    """The entry's class, else the only ``torch.nn.Module`` that is made in the file."""
    classes = {
        name: value
        for name, value in vars(file).items()
        if inspect.isclass(value)
        and issubclass(value, torch.nn.Module)
        and value.__module__ == file.__name__
    }
    wanted = artifact.class_name
    if wanted is None and len(classes) == 1:
        return next(iter(classes.values()))
    if wanted is None or wanted not in classes:
        expected = f"a class '{wanted}'" if wanted else "one subclass of torch.nn.Module"
        raise LoadFailed(
            f"{artifact.id}: {artifact.path.name} should hold {expected}, has {sorted(classes)}; "
            f"name it: entry: {artifact.path.name}:Net"
        )
    return classes[wanted]
