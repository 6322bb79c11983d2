"""Runtimes by name."""

import sys

import pytest

from penstock.core.errors import ConfigError, LoadFailed
from penstock.runtime.runtime import RUNTIMES, find_runtime


@pytest.mark.parametrize(("name", "platform"), [("onnx", "onnxruntime_onnx"), ("python", "python")])
def test_each_has_its_platform(name: str, platform: str) -> None:
    assert find_runtime(name).platform == platform


def test_there_is_none_of_this_name() -> None:
    with pytest.raises(
        ConfigError, match=r"^no runtime 'onxx'; there are \[.*'torch', 'xgboost'\]$"
    ):
        find_runtime("onxx")


def test_its_framework_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, RUNTIMES["onnx"].module, raising=False)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if "site-packages" not in p])
    for name in [n for n in sys.modules if n.split(".")[0] == "onnxruntime"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(LoadFailed) as caught:
        find_runtime("onnx")
    assert caught.value.message == (
        "runtime 'onnx' needs the package 'onnxruntime': pip install 'penstock[onnx]'"
    )
