"""MLflow: scikit-learn's support vector machine behind pyfunc, a table of named columns."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING

import mlflow.pyfunc
import mlflow.sklearn
import pandas as pd
from mlflow.models import infer_signature
from sklearn.svm import SVC

from benchmarks.engines.engine import BATCH_ROWS, Engine
from benchmarks.engines.rows import training_data

if TYPE_CHECKING:
    from pathlib import Path


def make(version: Path) -> Engine:
    """Fit and save the machine; have pyfunc predict a table, which checks it by the signature."""
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    rows, classes = training_data(float)
    table = pd.DataFrame(rows).add_prefix("x")
    model = SVC(C=0.05).fit(table, classes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that integers cannot be missing
        signature = infer_signature(table, model.predict(table.head(2)))
    mlflow.sklearn.save_model(
        model,
        str(version),
        serialization_format="skops",
        signature=signature,
        pip_requirements=[f"mlflow=={mlflow.__version__}"],
    )
    predictor = mlflow.pyfunc.load_model(str(version))
    batch = table.head(BATCH_ROWS)
    inputs = {name: batch[name].to_numpy(copy=True) for name in batch.columns}
    return Engine(inputs, lambda: predictor.predict(batch))
