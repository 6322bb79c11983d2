"""The ``openvino`` runtime with small models made here."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import penstock
from penstock.core.dtype import DType
from penstock.core.errors import LoadFailed
from penstock.core.tensor import Array, Tensor
from penstock.repository.artifact import ArtifactRef
from penstock.repository.manifest import Instances
from tests.contract.runtime_contract import NoClient, RuntimeContract, artifact

ov = pytest.importorskip("openvino")

from penstock.runtime.openvino_runtime import (  # noqa: E402  # needs openvino
    OpenVinoExecutable,
    OpenVinoRuntime,
)

ops = ov.opset13
TYPES = {
    DType.BOOL: "boolean",
    DType.UINT8: "u8",
    DType.UINT16: "u16",
    DType.UINT32: "u32",
    DType.UINT64: "u64",
    DType.INT8: "i8",
    DType.INT16: "i16",
    DType.INT32: "i32",
    DType.INT64: "i64",
    DType.FP16: "f16",
    DType.FP32: "f32",
    DType.FP64: "f64",
    DType.BF16: "bf16",
    DType.BYTES: "string",
}
X = np.arange(12, dtype=np.float32).reshape(3, 4) / 8
WEIGHTS = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)


def save_identity(path: Path, dtype: DType) -> Path:
    x = ops.parameter(ov.PartialShape([-1, 2]), getattr(ov.Type, TYPES[dtype]))
    x.output(0).set_names({"x"})
    y = ops.reshape(x, ops.constant(np.array([0, 0])), True)
    y.output(0).set_names({"y"})
    ov.save_model(ov.Model([ops.result(y)], [x]), path, compress_to_fp16=False)
    return path


def classifier(rows: Any = -1) -> Any:
    x = ops.parameter(ov.PartialShape([rows, 4]), ov.Type.f32)
    x.output(0).set_names({"x"})
    y = ops.softmax(ops.matmul(x, ops.constant(WEIGHTS), False, False), 1)
    y.output(0).set_names({"scores"})
    return ov.Model([ops.result(y)], [x])


def save(path: Path, rows: Any = -1) -> Path:
    ov.save_model(classifier(rows), path, compress_to_fp16=False)
    return path


def save_onnx(path: Path) -> Path:
    onnx = pytest.importorskip("onnx")
    make = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("MatMul", ["x", "w"], ["logits"]),
            onnx.helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
        ],
        "classifier",
        [make("x", onnx.TensorProto.FLOAT, ["batch", 4])],
        [make("scores", onnx.TensorProto.FLOAT, ["batch", 3])],
        [onnx.numpy_helper.from_array(WEIGHTS, "w")],
    )
    opsets = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def load(path: Path, **manifest: Any) -> OpenVinoExecutable:
    return OpenVinoRuntime().load(artifact(path, "openvino", **manifest), NoClient())


def answer(executable: OpenVinoExecutable, x: Array = X) -> Array:
    return executable.execute((Tensor.from_array("x", x),), {}).outputs[0].array


def refused(path: Path, **manifest: Any) -> str:
    with pytest.raises(LoadFailed) as caught:
        load(path, **manifest)
    assert "\n" not in caught.value.message
    assert caught.value.message.startswith("'m' version 1")
    return caught.value.message


def properties(executable: OpenVinoExecutable) -> dict[str, str]:
    compiled = executable._request.get_compiled_model()
    names = compiled.get_property("SUPPORTED_PROPERTIES")
    return {name: str(compiled.get_property(name)) for name in names if name in WATCHED}


WATCHED = (
    "INFERENCE_NUM_THREADS",
    "INFERENCE_PRECISION_HINT",
    "NUM_STREAMS",
    "PERFORMANCE_HINT",
)


class TestContract(RuntimeContract):
    runtime = OpenVinoRuntime()

    def identity(self, folder: Path, dtype: DType) -> ArtifactRef:
        return artifact(save_identity(folder / "model.xml", dtype), "openvino")

    def corrupt(self, folder: Path) -> ArtifactRef:
        (folder / "model.xml").write_text("<net this is no IR")
        (folder / "model.bin").write_bytes(b"")
        return artifact(folder / "model.xml", "openvino")


@pytest.mark.parametrize("file", ["model.xml", "model.onnx"])
async def test_a_file_is_served(tmp_path: Path, file: str) -> None:
    folder = tmp_path / "net" / "1"
    folder.mkdir(parents=True)
    (save if file.endswith(".xml") else save_onnx)(folder / file)
    (tmp_path / "net" / "model.yaml").write_text("runtime: openvino\n")
    async with penstock.serving(tmp_path / "net") as models:
        got = await models.infer("net", x=X)
    config = {"INFERENCE_PRECISION_HINT": "f32"}
    theirs = ov.Core().compile_model(folder / file, "CPU", config)([X])[0]
    np.testing.assert_allclose(got["scores"], theirs, rtol=1e-6)


def test_a_received_buffer_is_read_as_it_is(tmp_path: Path) -> None:
    executable = load(save(tmp_path / "m.xml"))
    received = np.frombuffer(X.tobytes(), np.float32).reshape(X.shape)
    np.testing.assert_array_equal(answer(executable, received), answer(executable))
    turned = np.asfortranarray(X)
    np.testing.assert_array_equal(answer(executable, turned), answer(executable))


def test_options_reach_the_engine(tmp_path: Path) -> None:
    path = save(tmp_path / "m.xml")
    assert properties(load(path)) == {
        "INFERENCE_NUM_THREADS": "1",
        "INFERENCE_PRECISION_HINT": "<Type: 'float32'>",
        "NUM_STREAMS": "1",
        "PERFORMANCE_HINT": "LATENCY",
    }
    changed = load(
        path,
        instances=Instances(threads_per_instance=2),
        runtime_options={
            "streams": 2,
            "performance_hint": "throughput",
            "config": {"INFERENCE_NUM_THREADS": 2},
        },
    )
    assert properties(changed)["NUM_STREAMS"] == "2"
    assert properties(changed)["INFERENCE_NUM_THREADS"] == "2"
    assert properties(changed)["PERFORMANCE_HINT"] == "THROUGHPUT"


@pytest.mark.parametrize("precision", ["auto", "bf16", "f16"])
def test_precision_is_inside_only(tmp_path: Path, precision: str) -> None:
    path = save(tmp_path / "m.xml")
    executable = load(path, runtime_options={"precision": precision})
    assert executable.signature.outputs[0].dtype is DType.FP32
    np.testing.assert_allclose(answer(executable), answer(load(path)), atol=2e-2)


def test_the_compiled_model_is_kept(tmp_path: Path) -> None:
    path = save(tmp_path / "m.xml")
    cache = tmp_path / "cache"
    options = {"cache_dir": str(cache)}
    first = answer(load(path, runtime_options=options))
    assert list(cache.iterdir())
    again = load(path, runtime_options=options)
    assert again._request.get_compiled_model().get_property("LOADED_FROM_CACHE")
    np.testing.assert_array_equal(answer(again), first)


def test_a_fixed_batch_can_be_made_free(tmp_path: Path) -> None:
    path = save(tmp_path / "m.xml", rows=8)
    fixed = load(path).signature
    assert not fixed.batched
    assert fixed.inputs[0].shape == (8, 4)
    free = load(path, runtime_options={"dynamic_batch": True})
    assert free.signature.batched
    np.testing.assert_allclose(answer(free), answer(load(save(tmp_path / "n.xml"))))


def test_a_bounded_batch(tmp_path: Path) -> None:
    path = save(tmp_path / "m.xml", rows=ov.Dimension(1, 16))
    assert "for at most 16 rows at once: say max_batch_size: 16" in refused(path)
    assert load(path, max_batch_size=16).signature.batched


def test_two_instances_have_their_own_requests(tmp_path: Path) -> None:
    path = save(tmp_path / "m.xml")
    first, second = load(path), load(path)
    kept = answer(first)
    answer(second, X * 2)
    answer(first, X * 3)
    np.testing.assert_array_equal(kept, answer(second))


def test_a_device_that_is_not_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = save(tmp_path / "m.xml")
    there = r"was asked for, but this OpenVINO computes on ['CPU'"
    assert f"device 'CUDA:0' {there}" in refused(path, instances=Instances(device="cuda:0"))
    assert f"device 'NPU.7' {there}" in refused(path, runtime_options={"device": "NPU.7"})
    fallen = load(path, runtime_options={"device": "NPU.7", "fallback_to_cpu": True})
    np.testing.assert_array_equal(answer(fallen), answer(load(path)))
    assert "it computes on the CPU, as fallback_to_cpu says" in caplog.text


def test_missing_weights(tmp_path: Path) -> None:
    path = save(tmp_path / "m.xml")
    path.with_suffix(".bin").unlink()
    assert "m.bin, which has the weights, is not beside m.xml" in refused(path)


@pytest.mark.parametrize("file", ["m.xml", "m.bin", "m.onnx"])
def test_a_cut_file(tmp_path: Path, file: str) -> None:
    path = save_onnx(tmp_path / file) if file == "m.onnx" else save(tmp_path / "m.xml")
    cut = tmp_path / file
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    assert "is no model OpenVINO can load: " in refused(path)


def test_xml_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "m.xml").write_text("<?xml version='1.0'?><page/>")
    (tmp_path / "m.bin").write_bytes(b"")
    assert "is no model OpenVINO can load: " in refused(tmp_path / "m.xml")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"stream": 2}, "stream: unknown field, did you mean 'streams'?"),
        (
            {"precision": "int8"},
            "precision: expected 'auto' or 'bf16' or 'f16' or 'f32', got text 'int8'",
        ),
        ({"streams": -1}, "streams: expected a whole number >= 0, got -1"),
    ],
)
def test_wrong_options(tmp_path: Path, options: dict[str, Any], text: str) -> None:
    message = refused(save(tmp_path / "m.xml"), runtime_options=options)
    assert message == f"'m' version 1: runtime 'openvino': $.runtime_options.{text}"


def test_only_the_cpu_may_run_inline(tmp_path: Path) -> None:
    assert load(save(tmp_path / "m.xml")).inline_safe
