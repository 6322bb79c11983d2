"""XGBoost: many deep trees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xgboost

from benchmarks.engines.engine import BATCH_ROWS, Engine
from benchmarks.engines.rows import training_data

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = 2000


def make(version: Path) -> Engine:
    """Grow and save the trees; run them in place with one thread."""
    rows, classes = training_data(np.float32)
    settings = {"objective": "binary:logistic", "max_depth": 8, "eta": 0.05}
    booster = xgboost.train(settings, xgboost.DMatrix(rows, classes), ROUNDS)
    booster.save_model(version / "model.ubj")
    booster.set_param({"nthread": 1})
    batch = rows[:BATCH_ROWS]
    return Engine({"x": batch}, lambda: booster.inplace_predict(batch))
