"""Penstock: a model server. These are the public names; nothing else is promised to stay.

They are imported when they are first used, so that the command line starts quickly.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.core.errors import InvalidInput, PenstockError
    from penstock.core.model import Model, ModelClient, ModelContext, Rows

__all__ = ["InvalidInput", "Model", "ModelClient", "ModelContext", "PenstockError", "Rows"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Import a public name's module (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'penstock' has no attribute '{name}'")
    where = "errors" if name in ("InvalidInput", "PenstockError") else "model"
    value: object = getattr(importlib.import_module(f"penstock.core.{where}"), name)
    globals()[name] = value
    return value
