"""The ``lightgbm`` runtime: boosters as LightGBM saves them, in its text format."""

from __future__ import annotations

from collections.abc import Mapping

import lightgbm as lgb
import numpy as np

from penstock.core.dtype import DType
from penstock.core.errors import LoadFailed, may_pass
from penstock.core.model import ModelClient
from penstock.core.tensor import Array
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.read_options import read_options
from penstock.runtime.tabular.booster import (
    BoosterExecutable,
    BoosterOptions,
    booster_outputs,
)
from penstock.runtime.tabular.engine_text import first_line
from penstock.runtime.tabular.features import numeric_inputs
from penstock.runtime.tabular.lightgbm_text import find_fault, read_header
from penstock.runtime.tabular.placement import need_cpu
from penstock.runtime.tabular.scores import Classes

_CLASSIFIERS = ("binary", "multiclass", "multiclassova")


class LightgbmRuntime:
    """Loads boosters in LightGBM's text format."""

    platform = "lightgbm"

    def load(self, artifact: ArtifactRef, client: ModelClient) -> BoosterExecutable:
        """Check the text, for LightGBM ends the process on a bad one; see ``Runtime.load``."""
        del client  # trees call nobody
        options = read_options(artifact, BoosterOptions)
        need_cpu(artifact, "LightGBM")
        data = _read(artifact)
        try:
            booster = lgb.Booster(model_str=data.decode())
        except (lgb.basic.LightGBMError, ValueError, MemoryError) as err:
            raise _unreadable(artifact, first_line(err), retryable=may_pass(err)) from err
        threads = artifact.manifest.instances.threads_per_instance
        engine = LightgbmEngine(booster, read_header(data), threads)
        inputs = numeric_inputs(
            artifact,
            booster.num_feature(),
            _own_names(booster),
            DType.FP64,
            options.inputs,
        )
        return BoosterExecutable(engine, inputs, booster_outputs(artifact, options, engine))


class LightgbmEngine:
    """One booster."""

    dtype = DType.FP64

    def __init__(self, booster: lgb.Booster, header: Mapping[str, str], threads: int) -> None:
        self._booster = booster
        self._threads = threads
        self.width = self.raw_width = booster.num_model_per_iteration()
        objective = header.get("objective", "").partition(" ")[0]
        self.classes = None
        if objective in _CLASSIFIERS:
            self.classes = Classes(np.arange(max(self.width, 2), dtype=np.int64))

    def score(self, features: Array, *, raw: bool) -> Array:
        """See ``Engine.score``; FP64."""
        scores: Array = self._booster.predict(
            features, raw_score=raw, num_threads=self._threads, validate_features=False
        )
        return scores


def _own_names(booster: lgb.Booster) -> list[str]:
    """The features' names; empty where LightGBM has made them up."""
    names = booster.feature_name()
    is_made_up = names == [f"Column_{i}" for i in range(len(names))]
    return [] if is_made_up else names


def _read(artifact: ArtifactRef) -> bytes:
    try:
        data = artifact.path.read_bytes()
    except (OSError, MemoryError) as err:
        raise _unreadable(artifact, first_line(err), retryable=may_pass(err)) from err
    fault = find_fault(data)
    if fault is not None:
        raise _unreadable(artifact, fault)
    return data


def _unreadable(artifact: ArtifactRef, why: str, *, retryable: bool = False) -> LoadFailed:
    return LoadFailed(
        f"{artifact.id} is no model LightGBM can load: {why}. Save it again with "
        "booster.save_model('model.lgb') and copy it whole, byte for byte",
        retryable=retryable,
    )
