"""LightGBM: many large trees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lightgbm

from benchmarks.engines.engine import BATCH_ROWS, Engine
from benchmarks.engines.rows import training_data

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = 800


def make(version: Path) -> Engine:
    """Grow and save the trees; run them with one thread."""
    rows, classes = training_data(float)
    settings = {
        "objective": "binary",
        "num_leaves": 63,
        "min_data_in_leaf": 5,
        "learning_rate": 0.02,
        "verbose": -1,
    }
    booster = lightgbm.train(settings, lightgbm.Dataset(rows, classes), ROUNDS)
    booster.save_model(version / "model.lgb")
    batch = rows[:BATCH_ROWS]
    return Engine({"x": batch}, lambda: booster.predict(batch, num_threads=1))
