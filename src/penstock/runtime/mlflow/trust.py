"""Which MLflow models can be loaded without running code that came with them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from penstock.runtime.mlflow.mlmodel import MlModel

_XGBOOST_KINDS = ("Model", "Classifier", "Regressor", "Ranker", "RFClassifier", "RFRegressor")
_XGBOOST_CLASSES = frozenset(
    {"xgboost.core.Booster", *(f"xgboost.sklearn.XGB{kind}" for kind in _XGBOOST_KINDS)}
)
_PATHS = ("data", "model_path", "pickled_model")


def why_unsafe(model: MlModel) -> str | None:
    """Why loading the model could run what its maker wrote; None: it only reads numbers.

    Law: a model is unsafe unless its loader is one of MLflow's own that reads a format made of
    numbers (native XGBoost, LightGBM and CatBoost, ONNX, skops with skops's own trusted types),
    everything it reads is a file of the folder itself, and it brings no code.
    """
    name = str(model.pyfunc.get("loader_module", ""))
    flavor = name.removeprefix("mlflow.")
    check = _CHECKS.get(flavor) if name == f"mlflow.{flavor}" else None
    if check is None:
        return f"its loader, {name or 'which is not named'}, runs Python code or pickles"
    conf = model.flavors.get(flavor)
    if conf is None:
        return f"its loader is {name}, but it has no flavor {flavor}"
    if model.pyfunc.get("code") or conf.get("code"):
        return "it brings Python code of its own"
    for path in (c[key] for c in (model.pyfunc, conf) for key in _PATHS if c.get(key)):
        if path not in {entry.name for entry in model.folder.iterdir() if entry.is_file()}:
            return f"it reads '{path}', which is no file of its folder"
    return check(conf)


def _xgboost(conf: Mapping[str, Any]) -> str | None:
    kind = conf.get("model_class", "xgboost.core.Booster")
    return None if kind in _XGBOOST_CLASSES else f"it makes a {kind}, which is none of XGBoost's"


def _lightgbm(conf: Mapping[str, Any]) -> str | None:
    kind = conf.get("model_class", "lightgbm.basic.Booster")
    return None if kind == "lightgbm.basic.Booster" else f"its {kind} is kept as a pickle"


def _catboost(conf: Mapping[str, Any]) -> str | None:
    del conf  # each of its formats is the library's own
    return None


def _onnx(conf: Mapping[str, Any]) -> str | None:
    providers = conf.get("providers") or []
    plain = isinstance(providers, list) and all(isinstance(name, str) for name in providers)
    options = conf.get("onnx_session_options") or {}
    if plain and not options.get("extra_session_config"):
        return None
    return "its session's options can name libraries to load"


def _sklearn(conf: Mapping[str, Any]) -> str | None:
    if conf.get("serialization_format", "pickle") != "skops":
        return "its estimator is a pickle, and loading one runs whatever code is in it"
    if conf.get("skops_trusted_types"):
        return f"it says itself which types to trust: {conf['skops_trusted_types']}"
    return None


_CHECKS: Mapping[str, Callable[[Mapping[str, Any]], str | None]] = MappingProxyType(
    {
        "xgboost": _xgboost,
        "lightgbm": _lightgbm,
        "catboost": _catboost,
        "onnx": _onnx,
        "sklearn": _sklearn,
    }
)
