"""MLflow models that are not loaded: not trusted, broken, or without what they need."""

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from penstock.repository.manifest import Instances
from tests.contract.runtime_contract import NoClient, artifact
from tests.frameworks import mlflow_models as made
from tests.frameworks.mlflow_models import TRUSTED, MlflowRuntime, change, refused


class Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


def test_a_pickle_is_refused_unread(tmp_path: Path) -> None:
    path = made.params(tmp_path / "model")
    import cloudpickle

    (path.parent / "python_model.pkl").write_bytes(cloudpickle.dumps(Hostile(tmp_path / "owned")))
    assert refused(path) == (
        "'m' version 1: loading this MLflow model would run code that came with it: its loader, "
        "mlflow.pyfunc.model, runs Python code or pickles; nothing of it was run. If you trust "
        "whoever made it, say runtime_options: {trust_pickle: true} in its model.yaml"
    )
    assert not (tmp_path / "owned").exists()
    assert "'m' version 1 is no model MLflow can load" in refused(path, runtime_options=TRUSTED)
    assert (tmp_path / "owned").exists()  # so the test above could have failed


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"python_function": {"loader_module": "evil"}}, "its loader, evil, runs Python code"),
        ({"python_function": {"loader_module": "mlflow.lightgbm"}}, "it has no flavor lightgbm"),
        ({"python_function": {"code": "code"}}, "it brings Python code of its own"),
        ({"xgboost": {"code": "code"}}, "it brings Python code of its own"),
        ({"xgboost": {"model_class": "evil.Class"}}, "it makes a evil.Class, which is none of"),
        ({"xgboost": {"data": "../other.ubj"}}, "it reads '../other.ubj', which is no file of"),
        ({"python_function": {"data": "nested"}}, "it reads 'nested', which is no file of its"),
    ],
)
def test_a_safe_format_that_is_made_unsafe(tmp_path: Path, changes: Any, text: str) -> None:
    path = made.xgboost(tmp_path / "model")
    (path.parent / "nested").mkdir()
    (path.parent / "evil.py").write_text(f"import os; os.mkdir({str(tmp_path / 'owned')!r})")
    assert text in refused(change(path, flavors=changes))
    assert not (tmp_path / "owned").exists()


def test_skops_may_not_say_itself_what_to_trust(tmp_path: Path) -> None:
    path = made.sklearn(tmp_path / "model")
    change(path, flavors={"sklearn": {"skops_trusted_types": ["os.mkdir"]}})
    assert "it says itself which types to trust: ['os.mkdir']" in refused(path)
    change(path, flavors={"sklearn": {"serialization_format": "cloudpickle"}})
    assert "its estimator is a pickle" in refused(path)


def test_no_pyfunc(tmp_path: Path) -> None:
    path = made.xgboost(tmp_path / "model")
    content = yaml.safe_load(path.read_text())
    del content["flavors"]["python_function"]
    path.write_text(yaml.safe_dump(content))
    assert "the model has the flavors ['xgboost']; served is python_function" in refused(path)


@pytest.mark.parametrize("text", ["", "{", "a: b", "flavors: 3", "flavors: {python_function: 3}"])
def test_an_mlmodel_that_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "MLmodel"
    path.write_text(text)
    assert "'m' version 1" in refused(path)


def test_a_signature_of_no_tensors(tmp_path: Path) -> None:
    path = made.xgboost(tmp_path / "model")
    spec = [{"type": "tensor", "tensor-spec": {"dtype": "complex128", "shape": [-1]}}]
    signature = {"inputs": json.dumps(spec), "outputs": None, "params": None}
    content = yaml.safe_load(path.read_text()) | {"signature": signature}
    path.write_text(yaml.safe_dump(content))
    assert "tensor 'inputs': no Open Inference datatype holds complex128" in refused(path)


def test_a_missing_library_names_the_command_that_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made.xgboost(tmp_path / "model")
    for name in [n for n in sys.modules if n.split(".")[0] == "xgboost"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "xgboost", None)
    assert refused(path) == (
        "'m' version 1: the model needs the package 'xgboost': pip install 'penstock[xgboost]'"
    )


def test_a_missing_library_of_no_extra_is_pinned_as_the_model_says(tmp_path: Path) -> None:
    path = made.params(tmp_path / "model")
    (path.parent / "requirements.txt").write_text("-r more.txt\nno_such_lib==1.2 # x\n")
    change(path, flavors={"python_function": {"loader_module": "no_such_lib.loader"}})
    assert refused(path, runtime_options=TRUSTED) == (
        "'m' version 1: the model needs the package 'no_such_lib': pip install 'no_such_lib==1.2'"
    )


def test_other_requirements_are_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = made.xgboost(tmp_path / "model")
    (path.parent / "requirements.txt").write_text(
        f"mlflow=={made.VERSION}\nnumpy==0.1\nno-such-lib\ncolorama; sys_platform == 'win32'\n"
    )
    (path.parent / "python_env.yaml").write_text("python: 3.7.1\n")
    runtime, ref = MlflowRuntime(), artifact(path, "mlflow")
    with caplog.at_level(logging.WARNING, "penstock.runtime"):
        runtime.load(ref, NoClient())
        runtime.load(ref, NoClient())
    (record,) = caplog.records
    text = record.getMessage()
    assert f"numpy==0.1 (here: {np.__version__})" in text
    assert "no-such-lib (here: not installed)" in text
    assert "Python 3.7.1 (here: " in text
    assert "mlflow" not in text
    assert "colorama" not in text


def test_a_device(tmp_path: Path) -> None:
    path = made.xgboost(tmp_path / "model")
    assert "is its own code's choice" in refused(path, instances=Instances(device="cuda:0"))


def test_a_wrong_option(tmp_path: Path) -> None:
    path = made.xgboost(tmp_path / "model")
    assert refused(path, runtime_options={"trust": True}) == (
        "'m' version 1: runtime 'mlflow': $.runtime_options.trust: unknown field, "
        "expected one of: trust_pickle"
    )
