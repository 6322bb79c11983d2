"""The ``catboost`` runtime: ``.cbm`` models, with categorical and text features as BYTES."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import catboost
import numpy as np

from penstock.core.dtype import DType
from penstock.core.errors import LoadFailed, may_pass
from penstock.core.model import ModelClient
from penstock.core.tensor import Array, Tensor
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.read_options import read_options, wrong_option
from penstock.runtime.tabular.booster import (
    BoosterExecutable,
    BoosterOptions,
    booster_outputs,
)
from penstock.runtime.tabular.engine_text import first_line
from penstock.runtime.tabular.features import (
    Columns,
    FeatureInputs,
    column_inputs,
    numeric_inputs,
)
from penstock.runtime.tabular.placement import need_cpu
from penstock.runtime.tabular.scores import Classes

_MULTI_LABEL = ("MultiLogloss", "MultiCrossEntropy")
_EXPONENTIAL = ("Poisson", "Tweedie")


class CatboostRuntime:
    """Loads models in CatBoost's binary format."""

    platform = "catboost"

    def load(self, artifact: ArtifactRef, client: ModelClient) -> BoosterExecutable:
        """Read the model and try one row; see ``Runtime.load``."""
        del client  # trees call nobody
        options = read_options(artifact, BoosterOptions)
        need_cpu(artifact, "the catboost runtime")
        model = _read(artifact)
        inputs = _inputs(artifact, options, model)
        threads = artifact.manifest.instances.threads_per_instance
        try:
            engine = CatboostEngine(model, _one_row(inputs), threads)
        except catboost.CatBoostError as err:
            raise LoadFailed(
                f"{artifact.id}: the model does not score a row of its own features: "
                f"{first_line(err)}"
            ) from err
        return BoosterExecutable(engine, inputs, booster_outputs(artifact, options, engine))


class CatboostEngine:
    """One model.

    Args:
        model: loaded.
        row: one row of its features, to see how many scores it gives.
        threads: to score with; 0: one for each core.
    """

    dtype = DType.FP64

    def __init__(self, model: catboost.CatBoost, row: Any, threads: int) -> None:
        self._model = model
        self._threads = threads or -1
        loss = _loss(model)
        values = np.asarray(model.classes_)
        threshold = model.get_metadata().get("binclass_probability_threshold")
        self.classes = None
        self._value = "RawFormulaVal"
        if len(values):
            is_multi_label = loss in _MULTI_LABEL
            self.classes = Classes(
                values, is_multi_label, 0.5 if not threshold else float(threshold)
            )
            self._value = "Probability"
        elif loss in _EXPONENTIAL:
            self._value = "Exponent"
        elif loss == "RMSEWithUncertainty":
            self._value = loss
        self.width = self.score(row, raw=False).size
        self.raw_width = self.score(row, raw=True).size

    def score(self, features: Any, *, raw: bool) -> Array:
        """See ``Engine.score``; FP64."""
        scores: Array = self._model.predict(
            features,
            prediction_type="RawFormulaVal" if raw else self._value,
            thread_count=self._threads,
        )
        return scores


class PooledColumns:
    """Columns of numbers and text, laid out as CatBoost takes them."""

    def __init__(self, columns: Columns, model: catboost.CatBoost) -> None:
        self.specs = columns.specs
        self._columns = columns
        self._categories = model.get_cat_feature_indices()
        self._texts = model.get_text_feature_indices()

    def read(self, inputs: Sequence[Tensor]) -> catboost.Pool:
        """One pool, which all outputs share."""
        columns = self._columns.read(inputs)
        table = np.empty((inputs[0].shape[0], len(columns)), dtype=object)
        for index, column in enumerate(columns.values()):
            table[:, index] = column
        return catboost.Pool(table, cat_features=self._categories, text_features=self._texts)


def _inputs(
    artifact: ArtifactRef, options: BoosterOptions, model: catboost.CatBoost
) -> FeatureInputs:
    if model.get_embedding_feature_indices():
        raise LoadFailed(
            f"{artifact.id}: the model has embedding features, which this version does not serve: "
            "wrap it in a Python model"
        )
    names = list(model.feature_names_)
    texts = {*model.get_cat_feature_indices(), *model.get_text_feature_indices()}
    if not texts:
        own = [] if names == [str(i) for i in range(len(names))] else names
        return numeric_inputs(artifact, len(names), own, DType.FP32, options.inputs)
    if options.inputs == "matrix":
        raise wrong_option(
            artifact,
            "inputs",
            "expected 'columns' or 'auto' for a model with categorical or text features, "
            "got 'matrix'",
        )
    dtypes = {n: DType.BYTES if i in texts else DType.FP32 for i, n in enumerate(names)}
    return PooledColumns(column_inputs(artifact, dtypes), model)


def _one_row(inputs: FeatureInputs) -> Any:
    row = []
    for spec in inputs.specs:
        shape = (1, *spec.shape[1:])
        is_text = spec.dtype is DType.BYTES
        array = np.full(shape, b"", object) if is_text else np.zeros(shape, spec.dtype.numpy)
        row.append(Tensor(spec.name, spec.dtype, array))
    return inputs.read(row)


def _loss(model: catboost.CatBoost) -> str:
    """The name of the loss it was trained with; "": it does not say."""
    params = json.loads(model.get_metadata().get("params") or "{}")
    return str(params.get("loss_function", {}).get("type", ""))


def _read(artifact: ArtifactRef) -> catboost.CatBoost:
    try:
        return catboost.CatBoost().load_model(str(artifact.path), format="cbm")
    except (OSError, MemoryError, catboost.CatBoostError) as err:
        raise LoadFailed(
            f"{artifact.id} is no model CatBoost can load: {first_line(err)}. Save it again with "
            "model.save_model('model.cbm') and copy it whole",
            retryable=may_pass(err),
        ) from err
