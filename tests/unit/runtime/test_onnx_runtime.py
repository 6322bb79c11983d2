"""The ``onnx`` runtime with small graphs."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from penstock.core.dtype import DType
from penstock.core.errors import InvalidInput, LoadFailed
from penstock.core.signature import TensorSpec
from penstock.core.tensor import Tensor, object_array
from penstock.repository.artifact import ArtifactRef
from penstock.repository.manifest import Instances
from penstock.runtime.onnx_runtime import OnnxExecutable, OnnxRuntime
from tests.contract.runtime_contract import NoClient, RuntimeContract, artifact

ELEMENTS = {
    DType.BOOL: TensorProto.BOOL,
    DType.UINT8: TensorProto.UINT8,
    DType.UINT16: TensorProto.UINT16,
    DType.UINT32: TensorProto.UINT32,
    DType.UINT64: TensorProto.UINT64,
    DType.INT8: TensorProto.INT8,
    DType.INT16: TensorProto.INT16,
    DType.INT32: TensorProto.INT32,
    DType.INT64: TensorProto.INT64,
    DType.FP16: TensorProto.FLOAT16,
    DType.FP32: TensorProto.FLOAT,
    DType.FP64: TensorProto.DOUBLE,
    DType.BYTES: TensorProto.STRING,
}


def value(name: str, dtype: DType, *shape: int | str | None) -> Any:
    return helper.make_tensor_value_info(name, ELEMENTS[dtype], shape)


def save(folder: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any]) -> Path:
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path


def identity(folder: Path, dtype: DType, *shape: int | str | None) -> Path:
    return save(
        folder,
        [helper.make_node("Identity", ["x"], ["y"])],
        [value("x", dtype, *shape)],
        [value("y", dtype, *shape)],
    )


def load(path: Path, **manifest: Any) -> OnnxExecutable:
    return OnnxRuntime().load(artifact(path, "onnx", **manifest), NoClient())


class TestOnnxRuntime(RuntimeContract):
    runtime = OnnxRuntime()

    def identity(self, folder: Path, dtype: DType) -> ArtifactRef | None:
        if dtype not in ELEMENTS:
            return None
        return artifact(identity(folder, dtype, "n", 2), "onnx")

    def corrupt(self, folder: Path) -> ArtifactRef:
        path = folder / "model.onnx"
        path.write_bytes(b"this is no protobuf")
        return artifact(path, "onnx")


def test_two_inputs_two_outputs(tmp_path: Path) -> None:
    path = save(
        tmp_path,
        [
            helper.make_node("Add", ["INPUT0", "INPUT1"], ["OUTPUT0"]),
            helper.make_node("Sub", ["INPUT0", "INPUT1"], ["OUTPUT1"]),
        ],
        [value("INPUT0", DType.INT32, "n", 16), value("INPUT1", DType.INT32, "n", 16)],
        [value("OUTPUT0", DType.INT32, "n", 16), value("OUTPUT1", DType.INT32, "n", 16)],
    )
    executable = load(path)
    one = Tensor("INPUT0", DType.INT32, np.arange(32, dtype=np.int32).reshape(2, 16))
    two = Tensor("INPUT1", DType.INT32, np.ones((2, 16), np.int32))
    outputs = executable.execute((two, one), {}).outputs
    assert [t.name for t in outputs] == ["OUTPUT0", "OUTPUT1"]
    assert outputs[0].array[1, 0] == 17
    assert outputs[1].array[1, 0] == 15
    assert executable.signature.inputs[0] == TensorSpec("INPUT0", DType.INT32, (-1, 16), ("n", ""))
    assert executable.inline_safe


def test_a_fixed_first_dimension_is_no_batch(tmp_path: Path) -> None:
    executable = load(identity(tmp_path, DType.FP32, 1, 2))
    assert not executable.signature.batched
    assert executable.signature.inputs[0].shape == (1, 2)


def test_dimensions_with_and_without_names(tmp_path: Path) -> None:
    executable = load(identity(tmp_path, DType.FP32, "batch", "length", None, 4))
    spec = executable.signature.inputs[0]
    assert spec.shape == (-1, -1, -1, 4)
    assert spec.dim_names == ("batch", "length", "", "")
    x = Tensor("x", DType.FP32, np.ones((2, 3, 5, 4), np.float32))
    assert executable.execute((x,), {}).outputs == (x.renamed("y"),)


def test_a_scalar_is_no_batch(tmp_path: Path) -> None:
    executable = load(identity(tmp_path, DType.INT64))
    assert not executable.signature.batched
    x = Tensor("x", DType.INT64, np.array(7))
    assert executable.execute((x,), {}).outputs == (x.renamed("y"),)


def test_text_must_be_utf_8(tmp_path: Path) -> None:
    executable = load(identity(tmp_path, DType.BYTES, "n", 2))
    x = Tensor("x", DType.BYTES, object_array([b"a", b"b", b"c", b"\xff"]).reshape(2, 2))
    with pytest.raises(InvalidInput) as caught:
        executable.execute((x,), {})
    assert caught.value.index == 1
    assert caught.value.reason == "input 'x': expected UTF-8 text, got other bytes"


@pytest.mark.parametrize("level", ["disable", "basic", "extended", "all"])
def test_options(tmp_path: Path, level: str) -> None:
    options = {
        "graph_optimization": level,
        "inter_op_threads": 2,
        "allow_spinning": True,
        "providers": ["CPUExecutionProvider"],
        "session_config": {"session.set_denormal_as_zero": "1"},
    }
    load(identity(tmp_path, DType.FP32, "n", 2), runtime_options=options).close()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"grph_optimization": "all"},
            "grph_optimization: unknown field, did you mean 'graph_optimization'?",
        ),
        (
            {"graph_optimization": "most"},
            "graph_optimization: expected 'all' or 'basic' or 'disable' or 'extended', "
            "got text 'most'",
        ),
        (
            {"inter_op_threads": "two"},
            "inter_op_threads: expected a whole number, got text 'two'",
        ),
        (
            {"session_config": {"session.x": 1}},
            "session_config.session.x: expected text, got 1",
        ),
        ({"providers": "CPU"}, "providers: expected a list, got text 'CPU'"),
    ],
)
def test_wrong_options(tmp_path: Path, options: dict[str, Any], text: str) -> None:
    with pytest.raises(LoadFailed) as caught:
        load(identity(tmp_path, DType.FP32, "n", 2), runtime_options=options)
    assert caught.value.message == f"'m' version 1: runtime 'onnx': $.runtime_options.{text}"


def test_a_corrupt_file_says_so(tmp_path: Path) -> None:
    path = identity(tmp_path, DType.FP32, "n", 2)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(LoadFailed) as caught:
        load(path)
    assert caught.value.message.startswith("'m' version 1 is no model ONNX Runtime can load: ")


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "tpu"])
def test_a_device_that_is_not_there(
    tmp_path: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(LoadFailed) as caught:
        load(identity(tmp_path, DType.FP32, "n", 2), instances=Instances(device=device))
    assert caught.value.message == (
        f"'m' version 1: device '{device}' was asked for, but this ONNX Runtime computes on "
        "['CPUExecutionProvider']; for CUDA: pip install 'penstock[onnx-gpu]'"
    )


def test_an_output_that_is_no_tensor(tmp_path: Path) -> None:
    sequence = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)
    path = save(
        tmp_path,
        [helper.make_node("SequenceConstruct", ["x"], ["y"])],
        [value("x", DType.FP32, "n")],
        [sequence],
    )
    with pytest.raises(LoadFailed) as caught:
        load(path)
    assert caught.value.message.startswith(
        "'m' version 1: 'y' has the type seq(tensor(float)), expected one of ['tensor(bool)', "
    )


def test_an_output_that_is_a_list_of_maps_names_the_way_out(tmp_path: Path) -> None:
    zipmap = helper.make_node(
        "ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_int64s=[0, 1]
    )
    maps = onnx.ValueInfoProto(name="y")
    maps.type.sequence_type.elem_type.map_type.key_type = TensorProto.INT64
    maps.type.sequence_type.elem_type.map_type.value_type.tensor_type.elem_type = TensorProto.FLOAT
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])
    graph = helper.make_graph([zipmap], "g", [x], [maps])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(LoadFailed) as caught:
        load(path)
    assert caught.value.message == (
        "'m' version 1: output 'y' is a list of maps, which is no tensor. Export again with "
        'skl2onnx.to_onnx(model, X, options={"zipmap": False})'
    )
