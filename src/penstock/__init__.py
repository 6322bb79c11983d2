"""Penstock: a model server. These are the public names; nothing else is promised to stay."""

from penstock.core.errors import InvalidInput, PenstockError
from penstock.core.model import Model, ModelClient, ModelContext, Rows

__all__ = ["InvalidInput", "Model", "ModelClient", "ModelContext", "PenstockError", "Rows"]
__version__ = "0.1.0"
