"""Which MLflow models run nothing of their maker's."""

from pathlib import Path
from typing import Any

import pytest

from penstock.runtime.mlflow.mlmodel import MlModel
from penstock.runtime.mlflow.trust import why_unsafe


def model(folder: Path, flavor: str, conf: dict[str, Any], **pyfunc: Any) -> MlModel:
    (folder / "model.bin").write_bytes(b"")
    flavors = {
        "python_function": {"loader_module": f"mlflow.{flavor}", "data": "model.bin", **pyfunc},
        flavor: conf,
    }
    return MlModel(folder, flavors, None, None, (), None)


@pytest.mark.parametrize(
    ("flavor", "conf"),
    [
        ("xgboost", {"data": "model.bin", "model_class": "xgboost.sklearn.XGBRegressor"}),
        ("xgboost", {}),
        ("lightgbm", {"model_class": "lightgbm.basic.Booster"}),
        ("lightgbm", {}),
        ("catboost", {"model_type": "CatBoostClassifier", "save_format": "cbm"}),
        ("onnx", {"providers": ["CPUExecutionProvider"], "onnx_session_options": None}),
        ("sklearn", {"serialization_format": "skops", "skops_trusted_types": None, "code": None}),
    ],
)
def test_formats_of_numbers_are_safe(tmp_path: Path, flavor: str, conf: dict[str, Any]) -> None:
    assert why_unsafe(model(tmp_path, flavor, conf)) is None


@pytest.mark.parametrize(
    ("flavor", "conf", "text"),
    [
        ("pytorch", {}, "its loader, mlflow.pytorch, runs Python code or pickles"),
        ("pyfunc.model", {}, "its loader, mlflow.pyfunc.model, runs Python code or pickles"),
        ("tensorflow", {}, "its loader, mlflow.tensorflow, runs Python code or pickles"),
        ("xgboost", {"model_class": "os.system"}, "it makes a os.system"),
        ("lightgbm", {"model_class": "lightgbm.sklearn.LGBMModel"}, "is kept as a pickle"),
        ("onnx", {"providers": [["X", {"backend_path": "/evil.so"}]]}, "can name libraries"),
        ("onnx", {"onnx_session_options": {"extra_session_config": {"a": "b"}}}, "can name lib"),
        ("sklearn", {}, "its estimator is a pickle"),
        ("sklearn", {"serialization_format": "cloudpickle"}, "its estimator is a pickle"),
        (
            "sklearn",
            {"serialization_format": "skops", "skops_trusted_types": ["os.system"]},
            "it says itself which types to trust",
        ),
        ("xgboost", {"code": "code"}, "it brings Python code"),
        ("xgboost", {"data": "/etc/passwd"}, "it reads '/etc/passwd'"),
        ("xgboost", {"data": "gone"}, "it reads 'gone'"),
    ],
)
def test_everything_else_is_not(
    tmp_path: Path, flavor: str, conf: dict[str, Any], text: str
) -> None:
    assert text in str(why_unsafe(model(tmp_path, flavor, conf)))


@pytest.mark.parametrize(
    "pyfunc",
    [{"loader_module": None}, {"loader_module": "xgboost"}, {"code": "code"}, {"data": ".."}],
)
def test_the_served_flavor_says_otherwise(tmp_path: Path, pyfunc: dict[str, Any]) -> None:
    assert why_unsafe(model(tmp_path, "xgboost", {}, **pyfunc)) is not None
