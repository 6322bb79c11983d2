"""Penstock: a model server. These are the public names; nothing else is promised to stay.

They are imported when they are first used, so that the command line starts quickly.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.app.adapters.beam import beam_model_handler
    from penstock.app.adapters.ray_data import RayDataPredictor
    from penstock.app.adapters.spark import SparkPredictor
    from penstock.app.embedded import Models, serving
    from penstock.app.jobs.batch_job import BatchJob
    from penstock.app.rollout_client import RolloutClient
    from penstock.core.errors import InvalidInput, PenstockError
    from penstock.core.model import Model, ModelClient, ModelContext, Rows

__all__ = [
    "BatchJob",
    "InvalidInput",
    "Model",
    "ModelClient",
    "ModelContext",
    "Models",
    "PenstockError",
    "RayDataPredictor",
    "RolloutClient",
    "Rows",
    "SparkPredictor",
    "beam_model_handler",
    "serving",
]
__version__ = "0.1.0"

_WHERE = {
    "BatchJob": "penstock.app.jobs.batch_job",
    "InvalidInput": "penstock.core.errors",
    "PenstockError": "penstock.core.errors",
    "Models": "penstock.app.embedded",
    "RayDataPredictor": "penstock.app.adapters.ray_data",
    "RolloutClient": "penstock.app.rollout_client",
    "SparkPredictor": "penstock.app.adapters.spark",
    "beam_model_handler": "penstock.app.adapters.beam",
    "serving": "penstock.app.embedded",
}


def __getattr__(name: str) -> object:
    """Import a public name's module (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'penstock' has no attribute '{name}'")
    module = importlib.import_module(_WHERE.get(name, "penstock.core.model"))
    value: object = getattr(module, name)
    globals()[name] = value
    return value
