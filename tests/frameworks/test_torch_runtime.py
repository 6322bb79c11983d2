"""The ``torch`` runtime: each form of a model is served, in each way it can compute."""

import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import penstock
from penstock.core.dtype import DType
from penstock.core.errors import MalformedAnswer
from penstock.core.tensor import Tensor
from penstock.repository.artifact import ArtifactRef
from penstock.repository.manifest import Instances, SignatureFields, TensorField
from tests.contract.runtime_contract import RuntimeContract, artifact

torch = pytest.importorskip("torch")

from penstock.runtime.pytorch.tensors import TORCH_DTYPES  # noqa: E402  # needs torch
from penstock.runtime.torch_runtime import TorchRuntime  # noqa: E402  # as above
from tests.frameworks.torch_models import (  # noqa: E402  # as above
    FIELDS,
    YAML,
    Net,
    Pair,
    Same,
    X,
    answer,
    assert_answers_as_the_model,
    expected,
    load,
    load_class,
    refused,
    save_class,
    save_program,
    save_script,
)

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """The number of threads of this thread, put back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class TestProgram(RuntimeContract):
    runtime = TorchRuntime()

    def identity(self, folder: Path, dtype: DType) -> ArtifactRef | None:
        if dtype is DType.BYTES:
            return None
        example = torch.zeros(2, 2, dtype=TORCH_DTYPES[dtype])
        return artifact(save_program(folder / "model.pt2", Same(), example), "torch")

    def corrupt(self, folder: Path) -> ArtifactRef:
        whole = save_program(folder / "model.pt2").read_bytes()
        (folder / "model.pt2").write_bytes(whole[: len(whole) // 2])
        return artifact(folder / "model.pt2", "torch")


class TestScript(RuntimeContract):
    runtime = TorchRuntime()

    def identity(self, folder: Path, dtype: DType) -> ArtifactRef | None:
        if dtype is DType.BYTES:
            return None
        path = save_script(folder / "model.pt", Same())
        field = TensorField(name="x", datatype=dtype, shape=(-1, 2))
        return artifact(path, "torch", signature=SignatureFields(inputs=(field,)))

    def corrupt(self, folder: Path) -> ArtifactRef:
        (folder / "model.pt").write_bytes(b"this is no TorchScript")
        return artifact(folder / "model.pt", "torch")


@pytest.mark.parametrize("kind", ["model.pt", "model.torchscript", "model.pth", "model.pt2"])
async def test_a_file_is_served(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "net" / "1"
    folder.mkdir(parents=True)
    if kind == "model.pt2":
        save_program(folder / kind)
    else:
        save_script(folder / kind)
        (tmp_path / "net" / "model.yaml").write_text(YAML)
    async with penstock.serving(tmp_path / "net") as models:
        got = await models.infer("net", x=X)
    np.testing.assert_allclose(got["scores"], expected()["scores"], rtol=1e-5)
    np.testing.assert_array_equal(got["best"], expected()["best"])


@pytest.mark.parametrize("file", ["net.pt", "net.safetensors"])
async def test_a_class_with_its_weights_is_served(tmp_path: Path, file: str) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    folder = tmp_path / "net" / "1"
    folder.mkdir(parents=True)
    save_class(folder)
    safetensors.save_file(Net().state_dict(), folder / "net.safetensors")
    (tmp_path / "net" / "model.yaml").write_text(
        f"runtime: torch\nentry: net.py:Net\nruntime_options: {{weights: {file}}}\n{YAML}"
    )
    async with penstock.serving(tmp_path / "net") as models:
        got = await models.infer("net", x=X)
    np.testing.assert_allclose(got["scores"], expected()["scores"], rtol=1e-5)


async def test_the_manifest_of_the_guide_serves_a_class(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    folder = tmp_path / "net" / "1"
    folder.mkdir(parents=True)
    save_class(folder)
    safetensors.save_file(Net().state_dict(), folder / "net.safetensors")
    page = (Path(__file__).parents[2] / "docs/runtimes.md").read_text()
    manifest = page.partition("## PyTorch")[2].partition("```yaml\n")[2].partition("```")[0]
    (tmp_path / "net" / "model.yaml").write_text(manifest)
    async with penstock.serving(tmp_path / "net") as models:
        got = await models.infer("net", x=X)
    np.testing.assert_allclose(got["scores"], expected()["scores"], atol=2e-2)


def test_several_inputs_and_outputs_keep_their_order(tmp_path: Path) -> None:
    given = torch.zeros(2, 4), torch.zeros(2, 4)
    program = load(save_program(tmp_path / "m.pt2", Pair(), *given, names=("a", "b")))
    fields = tuple(TensorField(name=n, datatype="FP32", shape=(-1, 4)) for n in ("b", "a"))
    script = load(save_script(tmp_path / "m.pt", Pair()), signature=SignatureFields(inputs=fields))
    for executable in (program, script):
        inputs = [Tensor.from_array("b", X), Tensor.from_array("a", 3 * X)]
        both = executable.execute(inputs, {}).outputs
        assert [t.name for t in both] == ["output_0", "output_1"]
        np.testing.assert_array_equal(both[0].array, 4 * X)
        np.testing.assert_array_equal(both[1].array, 2 * X)


def test_the_manifest_names_the_outputs_of_a_program(tmp_path: Path) -> None:
    class Double(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2

    path = save_program(tmp_path / "m.pt2", Double())
    assert [s.name for s in load(path).signature.outputs] == ["output"]
    field = TensorField(name="twice", datatype="FP32", shape=(-1, 4))
    named = load(path, signature=SignatureFields(outputs=(field,)))
    np.testing.assert_array_equal(answer(named)["twice"].array, 2 * X)
    two = SignatureFields(outputs=(field, TensorField(name="b", datatype="FP32", shape=(-1,))))
    assert "has 1 outputs, signature.outputs names ['twice', 'b']" in refused(path, signature=two)


def test_a_program_of_a_fixed_batch_says_so(tmp_path: Path) -> None:
    path = save_program(tmp_path / "m.pt2", rows=None)
    signature = load(path).signature
    assert not signature.batched
    assert signature.inputs[0].shape == (2, 4)
    assert signature.inputs[0].description == "exported for exactly 2 rows"
    assert "was exported for exactly 2 rows: export it with dynamic_shapes={'x': {0: " in refused(
        path, max_batch_size=8
    )


def test_a_program_of_bounded_batches(tmp_path: Path) -> None:
    path = save_program(tmp_path / "m.pt2", rows=torch.export.Dim("batch", min=1, max=16))
    wanted = "exported for at most 16 rows at once: say max_batch_size: 16 in its model.yaml"
    assert wanted in refused(path)
    assert wanted in refused(path, max_batch_size=17)
    assert load(path, max_batch_size=16).signature.batched
    at_least_5 = torch.export.Dim("batch", min=5, max=16)
    path = save_program(tmp_path / "n.pt2", None, torch.zeros(6, 4), rows=at_least_5)
    assert "exported for at least 5 rows" in refused(path, max_batch_size=16)


def test_rows_that_do_not_stay_rows_are_not_merged(tmp_path: Path) -> None:
    class Flat(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten()

    executable = load(save_program(tmp_path / "m.pt2", Flat()))
    assert executable.signature.outputs[0].shape == (-1,)
    assert not executable.signature.batched


def test_a_bound_of_another_dimension_holds(tmp_path: Path) -> None:
    class Sum(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.sum(-1)

    shapes = {"x": {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=8)}}
    program = torch.export.export(Sum(), (torch.zeros(2, 4),), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "m.pt2")
    executable = load(tmp_path / "m.pt2")
    assert answer(executable, np.ones((5, 8), np.float32))["output"].array.tolist() == [8.0] * 5
    with pytest.raises(RuntimeError, match="<= 8"):
        answer(executable, np.ones((1, 9), np.float32))


def test_dimensions_of_one_size_have_one_name(tmp_path: Path) -> None:
    signature = load(save_program(tmp_path / "m.pt2")).signature
    batch = signature.inputs[0].dim_names[0]
    assert batch
    assert [s.dim_names[0] for s in signature.outputs] == [batch, batch]


def test_a_script_without_a_signature_prints_one(tmp_path: Path) -> None:
    message = refused(save_script(tmp_path / "m.pt"))
    assert message.endswith("signature: {inputs: [{name: x, datatype: FP32, shape: [-1, 4]}]}")
    pair = refused(save_script(tmp_path / "p.pt", Pair()))
    assert "{name: a, datatype: FP32, shape: [-1, -1]}, {name: b," in pair


def test_what_the_message_prints_can_be_served(tmp_path: Path) -> None:
    import yaml

    printed = yaml.safe_load(
        refused(save_script(tmp_path / "m.pt")).partition("shapes (-1: any size): ")[2]
    )
    field = TensorField(**printed["signature"]["inputs"][0] | {"shape": (-1, 4)})
    assert_answers_as_the_model(load(tmp_path / "m.pt", signature=SignatureFields(inputs=(field,))))


@pytest.mark.parametrize("names", [("y",), ("x", "z")])
def test_names_that_forward_does_not_take(tmp_path: Path, names: tuple[str, ...]) -> None:
    fields = tuple(TensorField(name=name, datatype="FP32", shape=(-1, 4)) for name in names)
    message = refused(save_script(tmp_path / "m.pt"), signature=SignatureFields(inputs=fields))
    assert f"signature.inputs names {sorted(names)}, forward takes ['x']" in message


def test_outputs_that_a_try_cannot_tell(tmp_path: Path) -> None:
    field = TensorField(name="x", datatype="FP32", shape=(-1, 5))
    message = refused(save_script(tmp_path / "m.pt"), signature=SignatureFields(inputs=(field,)))
    assert "a try with zeros raised RuntimeError: mat1 and mat2 shapes" in message


def test_declared_outputs_are_held_against_the_answer(tmp_path: Path) -> None:
    field = TensorField(name="odds", datatype="FP32", shape=(-1, 3))
    executable = load(
        save_script(tmp_path / "m.pt"),
        signature=SignatureFields(inputs=FIELDS.inputs, outputs=(field,)),
    )
    with pytest.raises(MalformedAnswer, match=r"answered \['best', 'scores'\], declared"):
        answer(executable)


def test_text_is_refused(tmp_path: Path) -> None:
    field = TensorField(name="x", datatype="BYTES", shape=(-1,))
    assert "PyTorch has no text" in refused(
        save_script(tmp_path / "m.pt"), signature=SignatureFields(inputs=(field,))
    )


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("autocast", [True, False])
def test_lower_precision_keeps_fp32_outside(tmp_path: Path, precision: str, autocast: bool) -> None:
    executable = load_class(save_class(tmp_path), precision=precision, autocast=autocast)
    assert executable.signature.outputs[0].dtype is DType.FP32
    assert_answers_as_the_model(executable, atol=2e-2)
    exact = expected()["scores"]
    assert not np.allclose(answer(executable)["scores"].array, exact, atol=1e-7)


def test_a_program_computes_in_lower_precision_by_autocast_only(tmp_path: Path) -> None:
    path = save_program(tmp_path / "m.pt2")
    options = {"precision": "bf16"}
    assert "'precision: bf16' needs 'autocast: true' here" in refused(path, runtime_options=options)
    assert_answers_as_the_model(load(path, runtime_options=options | {"autocast": True}), 2e-2)


def test_compiled_answers_are_the_models(tmp_path: Path) -> None:
    options = {"compile": True, "compile_options": {"backend": "eager"}}
    assert_answers_as_the_model(load_class(save_class(tmp_path), **options))
    assert_answers_as_the_model(load(save_program(tmp_path / "m.pt2"), runtime_options=options))
    message = refused(save_script(tmp_path / "m.pt"), runtime_options=options)
    assert "compile: does not go with TorchScript" in message


def test_what_is_compiled_is_ready_for_any_number_of_rows(tmp_path: Path) -> None:
    compiled: list[Any] = []

    def backend(graph: Any, _inputs: Any) -> Any:
        compiled.append(graph)
        return graph.forward

    options = {"compile": True, "compile_options": {"backend": backend}}
    executable = load(save_program(tmp_path / "m.pt2"), runtime_options=options)
    count = len(compiled)
    assert count > 0
    for rows in (1, 2, 3, 5, 17):
        answer(executable, np.resize(X, (rows, 4)))
    assert len(compiled) == count


def test_an_error_of_a_script_is_one_line(tmp_path: Path) -> None:
    class Picky(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.shape[0] > 3:
                raise ValueError("too many")
            return x * 2

    executable = load(save_script(tmp_path / "m.pt", Picky()), signature=FIELDS)
    with pytest.raises(RuntimeError) as caught:
        answer(executable, np.resize(X, (4, 4)))
    assert str(caught.value) == "ValueError: too many"


def test_a_compiler_that_is_not_there(tmp_path: Path) -> None:
    options = {"compile": True, "compile_options": {"backend": "of nobody"}}
    message = refused(save_program(tmp_path / "m.pt2"), runtime_options=options)
    assert "making it ready on cpu raised InvalidBackend: " in message


def test_a_parameter_may_be_the_answer(tmp_path: Path) -> None:
    class Table(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rows = torch.nn.Parameter(torch.ones(4))

        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"x": x * 2, "rows": self.rows}

    executable = load(save_script(tmp_path / "m.pt", Table()), signature=FIELDS)
    assert not executable.signature.batched
    assert answer(executable)["rows"].array.tolist() == [1] * 4


def test_channels_last_reaches_the_module(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        textwrap.dedent("""
        import torch

        class Net(torch.nn.Module):
            def forward(self, x):
                is_so = x.is_contiguous(memory_format=torch.channels_last)
                return torch.full((x.shape[0],), float(is_so))
        """)
    )
    torch.save({}, tmp_path / "net.pt")
    field = TensorField(name="x", datatype="FP32", shape=(-1, 3, 8, 8))
    images = np.zeros((2, 3, 8, 8), np.float32)
    for is_wanted in (True, False):
        executable = load(
            tmp_path / "net.py",
            signature=SignatureFields(inputs=(field,)),
            runtime_options={"weights": "net.pt", "channels_last": is_wanted},
        )
        assert answer(executable, images)["output"].array.tolist() == [float(is_wanted)] * 2


def test_a_model_that_writes_into_its_input_harms_nobody(tmp_path: Path) -> None:
    class Greedy(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.add_(1)

    executable = load(save_script(tmp_path / "m.pt", Greedy()), signature=FIELDS)
    received = np.frombuffer(X.tobytes(), np.float32).reshape(X.shape)
    np.testing.assert_array_equal(answer(executable, received)["output"].array, X + 1)
    np.testing.assert_array_equal(received, X)


def test_each_thread_has_its_models_number_of_threads(tmp_path: Path) -> None:
    path = save_program(tmp_path / "m.pt2")
    counts: dict[int, int] = {}

    def work(threads: int) -> None:
        answer(load(path, instances=Instances(threads_per_instance=threads)))
        counts[threads] = torch.get_num_threads()

    answer(load(path, instances=Instances(threads_per_instance=1)))
    thread = threading.Thread(target=work, args=(3,))
    thread.start()
    thread.join()
    assert counts == {3: 3}
    assert torch.get_num_threads() == 1
    answer(load(path, instances=Instances(threads_per_instance=2)))
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("device", ["cuda", "cuda:99"])
def test_a_device_that_is_not_there(
    tmp_path: Path, device: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    path = save_program(tmp_path / "m.pt2")
    manifest: dict[str, Any] = {"instances": Instances(device=device)}
    message = refused(path, **manifest)
    assert f"device '{device}' was asked for, but this PyTorch sees 0 GPUs; " in message
    fallen = load(path, runtime_options={"fallback_to_cpu": True}, **manifest)
    assert_answers_as_the_model(fallen)
    assert "it computes on the CPU, as fallback_to_cpu says" in caplog.text


def test_only_what_merely_computes_may_run_inline(tmp_path: Path) -> None:
    assert load(save_program(tmp_path / "m.pt2")).inline_safe
    assert load(save_script(tmp_path / "m.pt"), signature=FIELDS).inline_safe
    assert not load_class(save_class(tmp_path)).inline_safe
