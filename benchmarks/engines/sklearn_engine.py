"""scikit-learn: a support vector machine, whose time is that of its kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import skops.io
from sklearn.svm import SVC

from benchmarks.engines.engine import BATCH_ROWS, Engine
from benchmarks.engines.rows import training_data

if TYPE_CHECKING:
    from pathlib import Path


def make(version: Path) -> Engine:
    """Fit and save the machine; run its decision function."""
    rows, classes = training_data(float)
    model = SVC(C=0.05).fit(rows, classes)
    skops.io.dump(model, version / "model.skops")
    batch = rows[:BATCH_ROWS]
    options = {"runtime_options": {"outputs": "margin"}}
    return Engine({"x": batch}, lambda: model.decision_function(batch), options)
