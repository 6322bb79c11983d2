"""CatBoost: many symmetric trees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import catboost
import numpy as np

from benchmarks.engines.engine import BATCH_ROWS, Engine
from benchmarks.engines.rows import training_data

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = 1000
COPIES = 50  # of the trees, added up: growing as many would take minutes


def make(version: Path) -> Engine:
    """Grow and save the trees; run them with one thread."""
    rows, classes = training_data(np.float32)
    grown = catboost.CatBoostClassifier(
        iterations=ROUNDS, depth=6, learning_rate=0.02, verbose=False, allow_writing_files=False
    ).fit(rows, classes)
    model = catboost.sum_models([grown] * COPIES, weights=[1 / COPIES] * COPIES)
    model.save_model(str(version / "model.cbm"))
    batch = rows[:BATCH_ROWS]
    return Engine(
        {"x": batch},
        lambda: model.predict(batch, prediction_type="RawFormulaVal", thread_count=1),
        {"runtime_options": {"outputs": "margin"}},
    )
