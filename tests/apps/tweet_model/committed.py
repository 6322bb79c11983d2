"""The committed model, as the Python runtime loads it."""

from __future__ import annotations

import importlib.util
from types import ModuleType

from tests.unit.models.committed import MODELS, artifact

__all__ = ["FOLDER", "artifact", "module"]

FOLDER = MODELS / "tweet-sentiment" / "1"


def module(name: str) -> ModuleType:
    """Import one of the version's own files."""
    spec = importlib.util.spec_from_file_location(f"tweet_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found
