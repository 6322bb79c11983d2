"""A function that a user's file or module has."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from penstock.core.errors import ConfigError
from penstock.repository.manifest_shape import nearest


def load_function(
    place: str, folder: Path, field: str = "transform.python"
) -> tuple[Callable[..., Any], str]:
    """Import a function.

    Args:
        place: ``FILE.py:FUNCTION`` or ``MODULE:FUNCTION``.
        folder: where a relative file is.
        field: what errors call it.

    Returns:
        the function, and the sha256 (hex) of its name and its file; what the file imports is not
        part of it.

    Raises:
        ConfigError: there is no such file, module or function, or importing it raised.
    """
    module_name, _, name = place.rpartition(":")
    if not module_name or not name:
        raise ConfigError(f"{field}: expected FILE.py:FUNCTION, got '{place}'")
    module = _module(module_name, folder, field)
    function = getattr(module, name, None)
    if not callable(function):
        known = [one for one, value in vars(module).items() if callable(value)]
        hint = nearest(name, known) if known else "it has none"
        raise ConfigError(f"{field}: {module_name} has no function '{name}', {hint}")
    source = Path(module.__file__).read_bytes() if module.__file__ else b""
    return function, hashlib.sha256(f"python {name}\n".encode() + source).hexdigest()


def _module(name: str, folder: Path, field: str) -> ModuleType:
    try:
        if name.endswith(".py"):
            return _of_file(folder / name, field)
        return importlib.import_module(name)
    except ConfigError:
        raise
    except Exception as err:
        told = f"{type(err).__name__}: {err}"
        raise ConfigError(f"{field}: importing {name} raised {told}") from err


def _of_file(path: Path, field: str) -> ModuleType:
    """Import a file as a module of its own; ``from . import x`` finds files beside it."""
    if not path.is_file():
        raise ConfigError(f"{field}: {path}: there is no such file")
    name = f"penstock_functions.{path.stem}_{secrets.token_hex(8)}"
    spec = importlib.util.spec_from_file_location(
        name, path, submodule_search_locations=[str(path.parent)]
    )
    assert spec is not None  # noqa: S101 - the name ends in .py
    assert spec.loader is not None  # noqa: S101 - so it has one
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
