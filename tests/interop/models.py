"""The models that live servers of the tests serve."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx
from onnx import TensorProto, helper

_OPSET, _IR = 17, 8

SIMPLE_YAML = "max_batch_size: 8\n"

PYTHON_MODELS = {
    "echo_any": '''
from penstock import Model


class Echo(Model):
    """Answers what it is given."""

    def predict(self, text: list[str]) -> list[str]:
        return text
''',
    "echo_bytes": '''
from penstock import Model


class EchoBytes(Model):
    """Answers what it is given, text or not."""

    def predict(self, data: list[bytes]) -> list[bytes]:
        return data
''',
    "slow": '''
import threading

from penstock import Model


class Slow(Model):
    """Takes as many seconds as it is told."""

    def predict(self, seconds: list[float]) -> list[float]:
        for s in seconds:
            if s:
                threading.Event().wait(s)
        return seconds
''',
    "raiser": '''
from penstock import InvalidInput, Model


class Raiser(Model):
    """Fails where it is told to."""

    def predict(self, text: list[str]) -> list[str]:
        for index, item in enumerate(text):
            if item == "boom":
                raise RuntimeError("the engine is on fire")
            if item == "bad":
                raise InvalidInput(index, "this item is bad")
        return [item.upper() for item in text]
''',
    "wrong_rows": '''
from penstock import Model


class WrongRows(Model):
    """Answers too few rows where it is told to."""

    def predict(self, text: list[str]) -> list[str]:
        return text[1:] if "short" in text else text
''',
    "params": '''
import json

from penstock import Model


class Params(Model):
    """Answers the parameters of the request."""

    def predict(self, text: list[str], parameters: dict) -> list[str]:
        return [json.dumps(parameters, sort_keys=True)] * len(text)
''',
}

VERSION_MODEL = '''
from penstock import Model


class Versioned(Model):
    """Answers its version."""

    def load(self, context):
        self._version = context.version

    def predict(self, text: list[str]) -> list[str]:
        return [f"{{item}}-v{{self._version}}{suffix}" for item in text]
'''


def save_onnx(path: Path, nodes: Sequence[onnx.NodeProto], inputs: list, outputs: list) -> Path:
    """Write a model; inputs and outputs are (name, element type, shape)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info(*i) for i in inputs],
        [helper.make_tensor_value_info(*o) for o in outputs],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR
    )
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def save_simple(path: Path) -> Path:
    """INPUT0 + INPUT1 and INPUT0 - INPUT1, sixteen integers each."""
    shape = ["batch", 16]
    return save_onnx(
        path,
        [
            helper.make_node("Add", ["INPUT0", "INPUT1"], ["OUTPUT0"]),
            helper.make_node("Sub", ["INPUT0", "INPUT1"], ["OUTPUT1"]),
        ],
        [(f"INPUT{i}", TensorProto.INT32, shape) for i in (0, 1)],
        [(f"OUTPUT{i}", TensorProto.INT32, shape) for i in (0, 1)],
    )


def save_identity(path: Path, kind: int, shape: list[str | int]) -> Path:
    """INPUT0 as OUTPUT0."""
    return save_onnx(
        path,
        [helper.make_node("Identity", ["INPUT0"], ["OUTPUT0"])],
        [("INPUT0", kind, shape)],
        [("OUTPUT0", kind, shape)],
    )


def save_scale(path: Path, factor: float) -> Path:
    """``y = x * factor``, four floats per row."""
    value = helper.make_tensor("k", TensorProto.FLOAT, [], [factor])
    return save_onnx(
        path,
        [
            helper.make_node("Constant", [], ["k"], value=value),
            helper.make_node("Mul", ["x", "k"], ["y"]),
        ],
        [("x", TensorProto.FLOAT, ["batch", 4])],
        [("y", TensorProto.FLOAT, ["batch", 4])],
    )


def save_python(path: Path, source: str) -> Path:
    """Write a Python model."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    return path


def save_version(repository: Path, name: str, version: int, suffix: str = "") -> Path:
    """A version of a model that answers its input and its version."""
    folder = repository / name / str(version)
    return save_python(folder / "model.py", VERSION_MODEL.format(suffix=suffix))


def save_repository(root: Path) -> Path:
    """Every model of the interop and fault tests."""
    save_simple(root / "simple" / "1" / "model.onnx")
    (root / "simple" / "model.yaml").write_text(SIMPLE_YAML)
    rows = ["batch", "n"]
    for name, kind in (
        ("identity_fp32", TensorProto.FLOAT),
        ("identity_fp16", TensorProto.FLOAT16),
        ("identity_bytes", TensorProto.STRING),
        ("identity_int64", TensorProto.INT64),
        ("identity_bool", TensorProto.BOOL),
    ):
        save_identity(root / name / "1" / "model.onnx", kind, list(rows))
    save_identity(root / "nobatch" / "1" / "model.onnx", TensorProto.FLOAT, [4])
    (root / "nobatch" / "model.yaml").write_text("max_batch_size: 0\n")
    save_identity(root / "classes" / "1" / "model.onnx", TensorProto.FLOAT, ["batch", 3])
    (root / "classes" / "model.yaml").write_text(
        "signature:\n  outputs:\n    - name: OUTPUT0\n      datatype: FP32\n"
        "      shape: [-1, 3]\n      labels: [cat, dog, eel]\n"
    )
    for name, source in PYTHON_MODELS.items():
        save_python(root / name / "1" / "model.py", source)
    (root / "slow" / "model.yaml").write_text("max_batch_size: 1\nqueue:\n  max_requests: 1\n")
    for version in (1, 2):
        save_version(root, "versions", version)
    (root / "versions" / "model.yaml").write_text(
        "version_policy: all\nlabels:\n  stable: 1\n  canary: 2\n"
    )
    return root
