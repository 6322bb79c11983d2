"""Small models, saved by MLflow's own ``save_model``. Each function returns the ``MLmodel``."""

import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from penstock.core.errors import LoadFailed
from penstock.runtime.executable import Executable
from tests.contract.runtime_contract import NoClient, artifact

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

np = pytest.importorskip("numpy")
pd = pytest.importorskip("pandas")
mlflow = pytest.importorskip("mlflow")

from penstock.runtime.mlflow_runtime import MlflowRuntime  # noqa: E402  # needs the imports above

pyfunc = pytest.importorskip("mlflow.pyfunc")

from mlflow.models import ModelSignature, infer_signature  # noqa: E402  # as above
from mlflow.types.schema import (  # noqa: E402  # as above
    Array,
    ColSpec,
    DataType,
    Object,
    ParamSchema,
    ParamSpec,
    Property,
    Schema,
    TensorSpec,
)

VERSION = mlflow.__version__
REQUIREMENTS = [f"mlflow=={VERSION}"]
"""Named, so that MLflow does not run each model in a process to find them out."""


def _save(save: Callable[..., Any], folder: Path, **options: Any) -> Path:
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save(path=str(folder), pip_requirements=REQUIREMENTS, **options)
    return folder / "MLmodel"


def _signature(inputs: Any, outputs: Any) -> ModelSignature:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # integers cannot be missing
        return infer_signature(inputs, outputs)


def sklearn(folder: Path) -> Path:
    import mlflow.sklearn
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    table = pd.DataFrame(
        {
            "age": [3, 80, 4, 70],
            "city": ["Rome", "Oslo", "Oslo", "Rome"],
            "height": [1.0, 1.9, 1.1, 1.8],
        }
    )
    model = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["city"]), remainder="passthrough"),
        LogisticRegression(),
    ).fit(table, [0, 1, 0, 1])
    return _save(
        mlflow.sklearn.save_model,
        folder,
        sk_model=model,
        serialization_format="skops",
        signature=_signature(table, model.predict(table)),
        input_example=table.head(2),
    )


def xgboost(folder: Path) -> Path:
    import mlflow.xgboost
    from xgboost import XGBClassifier

    rows = np.array([[0.0, 1.0], [1.0, 1.0], [8.0, 1.0], [9.0, 0.0]] * 3)
    labels = np.array([0, 0, 1, 1] * 3)
    model = XGBClassifier(n_estimators=4, n_jobs=1).fit(rows, labels)
    return _save(
        mlflow.xgboost.save_model,
        folder,
        xgb_model=model,
        signature=_signature(rows, model.predict(rows)),
        input_example=rows[:2],
    )


class _Echo(pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input


class _Params(pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        y = model_input["x"] * params["factor"] + sum(params["shift"])
        return pd.DataFrame({"y": y})


class _Tensors(pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return {"double": model_input["a"] * 2, "upper": np.char.upper(model_input["t"])}


class _Optional(pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        other = model_input.get("b", 0.0)
        return model_input["a"] + other


class _Hinted(pyfunc.PythonModel):
    def predict(self, model_input: list[str]) -> list[str]:
        return [item.upper() for item in model_input]


class _Sum(pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input.sum(axis=1)


class _Answering(pyfunc.PythonModel):
    def __init__(self, kind: str) -> None:
        self.kind = kind

    def predict(self, context, model_input, params=None):
        y = model_input["x"] * 2
        return {
            "series": lambda: y,
            "list": y.tolist,
            "records": lambda: [{"y": value} for value in y],
            "array": y.to_numpy,
            "table": lambda: pd.DataFrame({"y": y}),
        }[self.kind]()


def _python(folder: Path, model: Any, signature: Any, example: Any = None) -> Path:
    return _save(
        pyfunc.save_model, folder, python_model=model, signature=signature, input_example=example
    )


def params(folder: Path) -> Path:
    schema = Schema([ColSpec("double", "x")]), Schema([ColSpec("double", "y")])
    known = ParamSchema(
        [ParamSpec("factor", "double", 2.0), ParamSpec("shift", "double", [0.0], (-1,))]
    )
    example = (pd.DataFrame({"x": [1.0]}), {"factor": 3.0})
    return _python(folder, _Params(), ModelSignature(*schema, params=known), example)


def tensors(folder: Path) -> Path:
    float32, text = np.dtype("float32"), np.dtype("str")
    signature = ModelSignature(
        Schema([TensorSpec(float32, (-1, 2), "a"), TensorSpec(text, (-1,), "t")]),
        Schema([TensorSpec(float32, (-1, 2), "double"), TensorSpec(text, (-1,), "upper")]),
    )
    example = {"a": np.float32([[1, 2]]), "t": np.array(["a"])}
    return _python(folder, _Tensors(), signature, example)


def every_type(folder: Path) -> Path:
    names = ("boolean", "integer", "long", "float", "double", "string", "binary", "datetime")
    columns = [
        *(ColSpec(name, name) for name in names),
        ColSpec(Array(DataType.double), "list"),
        ColSpec(Object([Property("k", DataType.long)]), "object"),
    ]
    example = pd.DataFrame(
        {
            "boolean": [True],
            "integer": np.int32([1]),
            "long": [1],
            "float": np.float32([1]),
            "double": [1.0],
            "string": ["a"],
            "binary": [b"a"],
            "datetime": [pd.Timestamp("2026-01-01")],
            "list": [[1.0]],
            "object": [{"k": 1}],
        }
    )
    return _python(folder, _Echo(), ModelSignature(Schema(columns), Schema(columns)), example)


def optional(folder: Path) -> Path:
    inputs = Schema([ColSpec("double", "a"), ColSpec("double", "b", required=False)])
    return _python(folder, _Optional(), ModelSignature(inputs, Schema([ColSpec("double")])))


def hinted(folder: Path) -> Path:
    return _save(pyfunc.save_model, folder, python_model=_Hinted(), input_example=["a"])


def answering(folder: Path, kind: str) -> Path:
    signature = ModelSignature(Schema([ColSpec("double", "x")]))
    return _python(folder, _Answering(kind), signature, pd.DataFrame({"x": [1.0]}))


def unsigned(folder: Path) -> Path:
    return _python(folder, _Sum(), None)


TRUSTED = {"trust_pickle": True}


def load(path: Path, **manifest: Any) -> Executable:
    return MlflowRuntime().load(artifact(path, "mlflow", **manifest), NoClient())


def trusted(path: Path, **manifest: Any) -> Executable:
    return load(path, runtime_options=TRUSTED, **manifest)


def refused(path: Path, **manifest: Any) -> str:
    with pytest.raises(LoadFailed) as caught:
        load(path, **manifest)
    assert "\n" not in caught.value.message
    return caught.value.message


def change(path: Path, **fields: Any) -> Path:
    """Write fields of an ``MLmodel`` anew, those of each flavor beside what it has."""
    content = yaml.safe_load(path.read_text())
    for name, value in fields.items():
        if name == "flavors":
            for flavor, part in value.items():
                content[name][flavor] = {**content[name].get(flavor, {}), **part}
        else:
            content[name] = value
    path.write_text(yaml.safe_dump(content))
    return path
