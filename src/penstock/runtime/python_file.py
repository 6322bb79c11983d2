"""A user's Python file as a module of its own."""

from __future__ import annotations

import importlib.util
import secrets
import sys
from types import ModuleType

from penstock.core.errors import LoadFailed, NotFound, may_pass
from penstock.repository.artifact import ArtifactRef


def import_file(artifact: ArtifactRef) -> ModuleType:
    """Import the file under a name of its own; ``from . import x`` finds files beside it.

    Each copy gets its own module, so that closing one takes nothing from another.

    Raises:
        LoadFailed: it is no Python file, or its code raised.
    """
    name = f"penstock_models.{artifact.id.name}_{artifact.id.version}_{secrets.token_hex(8)}"
    name = "".join(c if c.isalnum() or c == "_" else "_" for c in name)
    spec = importlib.util.spec_from_file_location(
        name, artifact.path, submodule_search_locations=[str(artifact.root)]
    )
    if spec is None or spec.loader is None:
        raise LoadFailed(f"{artifact.id}: {artifact.path.name} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as err:
        forget(name)
        raise raised(artifact, f"importing {artifact.path.name}", err) from err
    return module


def forget(package: str) -> None:
    """Take a module, and what it imported beside itself, out of the process's list."""
    for name in [n for n in sys.modules if n == package or n.startswith(package + ".")]:
        sys.modules.pop(name, None)


def raised(artifact: ArtifactRef, doing: str, error: Exception) -> LoadFailed:
    """The error that says what the user's code was doing when it raised."""
    text = f"{artifact.id}: {doing} raised {type(error).__name__}: {error}"
    return LoadFailed(text, retryable=may_pass(error) or isinstance(error, NotFound), culprit=error)
