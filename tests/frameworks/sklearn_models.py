"""Data and models that the tests of the ``sklearn`` runtime share."""

import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import skops.io as skops_io
from sklearn import linear_model

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(90, 4))
BINARY = (X[:, 0] > 0).astype(int)
NAMES = np.array(["blå", "grå", "röd"])
THREE = NAMES[np.digitize(X[:, 1], [-0.5, 0.5])]
ROWS = X[:7]


def save(folder: Path, model: Any, name: str = "model.skops") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    if name.endswith(".skops"):
        skops_io.dump(model, path)
    elif name.endswith(".joblib"):
        joblib.dump(model, path)
    else:
        path.write_bytes(pickle.dumps(model))
    return path


def classifier(target: Any = BINARY) -> Any:
    return linear_model.LogisticRegression().fit(X, target)
