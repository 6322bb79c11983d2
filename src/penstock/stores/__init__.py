"""Key-value stores behind one protocol: memory, SQLite, Redis; and the prediction store on top.

What products use is named here; the modules below are ours.
"""

from penstock.stores.backend import Backend, Increment, Item
from penstock.stores.breaker import BreakerOptions
from penstock.stores.flight import Lookup
from penstock.stores.memory_backend import MemoryBackend
from penstock.stores.open_backend import open_backend
from penstock.stores.prediction_store import (
    PredictionStore,
    PredictionStoreOptions,
    prediction_key,
    prediction_prefix,
)
from penstock.stores.rebuild import rebuild_counters
from penstock.stores.single_flight import Compute

__all__ = [
    "Backend",
    "BreakerOptions",
    "Compute",
    "Increment",
    "Item",
    "Lookup",
    "MemoryBackend",
    "PredictionStore",
    "PredictionStoreOptions",
    "open_backend",
    "prediction_key",
    "prediction_prefix",
    "rebuild_counters",
]
