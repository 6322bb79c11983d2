"""The ``xgboost`` runtime: boosters as XGBoost saves them, ``.ubj`` and ``.json``."""

from __future__ import annotations

import json
import re
from typing import Literal

import numpy as np
import xgboost as xgb

from penstock.core.dtype import DType
from penstock.core.errors import InvalidInput, LoadFailed, may_pass
from penstock.core.model import ModelClient
from penstock.core.tensor import Array
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.device import without_device
from penstock.runtime.read_options import read_options
from penstock.runtime.tabular.booster import (
    BoosterExecutable,
    BoosterOptions,
    booster_outputs,
)
from penstock.runtime.tabular.engine_text import first_line
from penstock.runtime.tabular.features import numeric_inputs
from penstock.runtime.tabular.scores import Classes

_PLACE = re.compile(r"^\[\d\d:\d\d:\d\d\] (?:WARNING: )?\S+:\d+: ")
_EVERY_MODEL_BYTES = 2  # XGBoost ends the whole process on an empty one


class XgboostOptions(BoosterOptions, frozen=True, forbid_unknown_fields=True):
    """``runtime_options`` of an XGBoost model.

    Attributes:
        iterations: ``best``: the trees up to the best round where early stopping found one, as
            XGBoost's scikit-learn classes predict; ``all``: every tree.
        missing: a number that stands for a missing value; None: NaN alone does.
        fallback_to_cpu: whether it computes on the CPU where the device is not there.
    """

    iterations: Literal["best", "all"] = "best"
    missing: float | None = None
    fallback_to_cpu: bool = False


class XgboostRuntime:
    """Loads boosters in XGBoost's own formats."""

    platform = "xgboost"

    def load(self, artifact: ArtifactRef, client: ModelClient) -> BoosterExecutable:
        """Read the booster and try one row; see ``Runtime.load``."""
        del client  # trees call nobody
        options = read_options(artifact, XgboostOptions)
        booster = _read(artifact)
        _place(artifact, booster, fallback_to_cpu=options.fallback_to_cpu)
        try:
            engine = XgboostEngine(booster, options)
        except (xgb.core.XGBoostError, ValueError, KeyError) as err:
            text = f"it does not score a row of its own features: {_PLACE.sub('', first_line(err))}"
            raise _unreadable(artifact, text) from err
        inputs = numeric_inputs(
            artifact,
            booster.num_features(),
            booster.feature_names or (),
            DType.FP32,
            options.inputs,
        )
        return BoosterExecutable(engine, inputs, booster_outputs(artifact, options, engine))


class XgboostEngine:
    """One booster. Trees read the caller's array in place; a linear model needs a DMatrix."""

    dtype = DType.FP32

    def __init__(self, booster: xgb.Booster, options: XgboostOptions) -> None:
        learner = json.loads(booster.save_config())["learner"]
        objective = learner["objective"]["name"]
        if objective == "multi:softmax":  # the same trees, but it tells the classes only
            booster.set_param({"objective": "multi:softprob"})
        self._booster = booster
        self._is_linear = learner["gradient_booster"]["name"] == "gblinear"
        self._missing = np.nan if options.missing is None else options.missing
        best = booster.attr("best_iteration") if options.iterations == "best" else None
        self._rounds = (0, 0 if best is None or self._is_linear else int(best) + 1)
        row = np.zeros((1, booster.num_features()), np.float32)
        self.width = self.score(row, raw=False).size
        self.raw_width = self.score(row, raw=True).size
        self.classes = _classes(objective, self.width)

    def score(self, features: Array, *, raw: bool) -> Array:
        """See ``Engine.score``; FP32."""
        if self._is_linear:
            return self._score_linear(features, raw=raw)
        scores: Array = self._booster.inplace_predict(
            features,
            iteration_range=self._rounds,
            predict_type="margin" if raw else "value",
            missing=self._missing,
            validate_features=False,  # the signature has checked their number
            strict_shape=True,
        )
        return scores

    def _score_linear(self, features: Array, *, raw: bool) -> Array:
        infinite = np.isinf(features).any(axis=1)
        if infinite.any():
            raise InvalidInput(int(infinite.argmax()), "expected finite numbers or NaN, got inf")
        matrix = xgb.DMatrix(features, missing=self._missing, nthread=1)
        scores: Array = self._booster.predict(
            matrix, output_margin=raw, validate_features=False, strict_shape=True
        )
        return scores


def _classes(objective: str, width: int) -> Classes | None:
    if objective == "binary:logistic":
        values = np.arange(max(width, 2), dtype=np.int64)
        return Classes(values, is_multi_label=width > 1)
    if objective in ("multi:softmax", "multi:softprob"):
        return Classes(np.arange(width, dtype=np.int64))
    return None


def _read(artifact: ArtifactRef) -> xgb.Booster:
    booster = xgb.Booster()
    try:
        data = artifact.path.read_bytes()
        if len(data) < _EVERY_MODEL_BYTES:
            raise _unreadable(artifact, "it is empty")
        booster.load_model(bytearray(data))  # known by what it holds, not by its ending
    except (OSError, MemoryError, xgb.core.XGBoostError, ValueError, TypeError) as err:
        text = _PLACE.sub("", first_line(err))
        raise _unreadable(artifact, text, retryable=may_pass(err)) from err
    return booster


def _unreadable(artifact: ArtifactRef, why: str, *, retryable: bool = False) -> LoadFailed:
    return LoadFailed(
        f"{artifact.id} is no model XGBoost can load: {why}. Save it again with "
        "booster.save_model('model.ubj') and copy it whole; the binary format before XGBoost 1.0 "
        "is none any more",
        retryable=retryable,
    )


def _place(artifact: ArtifactRef, booster: xgb.Booster, *, fallback_to_cpu: bool) -> None:
    """Give the booster its threads and device; XGBoost would take the CPU without a word."""
    instances = artifact.manifest.instances
    if instances.threads_per_instance:
        booster.set_param({"nthread": instances.threads_per_instance})
    if instances.device == "cpu" or _takes(booster, instances.device):
        return
    without_device(
        artifact,
        instances.device,
        there="XGBoost computes on the CPU here",
        remedy="for CUDA: pip install 'xgboost' in place of 'xgboost-cpu' where there is a GPU; or "
        "say instances.device: cpu, or runtime_options.fallback_to_cpu: true",
        fallback_to_cpu=fallback_to_cpu,
    )
    booster.set_param({"device": "cpu"})


def _takes(booster: xgb.Booster, device: str) -> bool:
    """Whether the booster computes there from now on."""
    if not xgb.build_info()["USE_CUDA"]:
        return False
    try:
        booster.set_param({"device": device})
        config = json.loads(booster.save_config())
    except xgb.core.XGBoostError:
        return False  # no such device
    actual = config["learner"]["generic_param"]["device"]
    return bool(actual.partition(":")[0] == device.partition(":")[0])
