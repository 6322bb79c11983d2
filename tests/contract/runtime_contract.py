"""What every Runtime promises. An implementation's test inherits it and makes the artifacts."""

import abc
import asyncio
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from penstock.core.dtype import DType
from penstock.core.errors import LoadFailed
from penstock.core.ids import ServableId
from penstock.core.signature import TensorSpec
from penstock.core.tensor import Array, Tensor, object_array
from penstock.repository.artifact import ArtifactRef
from penstock.repository.manifest import Manifest
from penstock.runtime.executable import Executable, ExecuteResult
from penstock.runtime.instance import ThreadInstance, Work
from penstock.runtime.runtime import Runtime
from penstock.runtime.warmup import example_inputs, warm_up
from penstock.scheduler.batch import check_outputs

LIMIT_S = 30.0


class NoClient:
    """For models that call nobody."""

    def infer(self, model: str, /, *, version: str = "", **inputs: Any) -> dict[str, Array]:
        raise AssertionError("nobody should be called")


def artifact(path: Path, runtime: str, **manifest: Any) -> ArtifactRef:
    return ArtifactRef(
        id=ServableId("m", 1),
        path=path,
        root=path.parent,
        runtime=runtime,
        class_name=None,
        manifest=Manifest(**manifest),
        num_bytes=1,
        revision=path.parent.name,
    )


class RuntimeContractCore(abc.ABC):
    """The law of ``runtime/runtime.py`` and ``runtime/executable.py`` as tests, for any framework.

    A framework that can hand its input back inherits ``RuntimeContract``, which asks more.
    """

    runtime: Runtime

    @abc.abstractmethod
    def example(self, folder: Path) -> ArtifactRef:
        """A small model that batches, and whose answer to a row depends on that row alone."""

    @abc.abstractmethod
    def corrupt(self, folder: Path) -> ArtifactRef:
        """An artifact that is none."""

    def inputs(self, executable: Executable, rows: int) -> tuple[Tensor, ...]:
        """What the tests ask the example, ``rows`` rows that differ: small numbers and texts."""
        return tuple(_some(spec, rows) for spec in executable.signature.inputs)

    def load(self, ref: ArtifactRef) -> Executable:
        return self.runtime.load(ref, NoClient())

    def test_the_answer_is_what_the_signature_says(self, tmp_path: Path) -> None:
        executable = self.load(self.example(tmp_path))
        signature = executable.signature
        assert signature.batched
        assert signature.inputs
        assert signature.outputs
        assert all(s.shape[0] == -1 for s in (*signature.inputs, *signature.outputs))
        for rows in (1, 3, 2):
            inputs = self.inputs(executable, rows)
            assert signature.check("m", inputs) == rows
            check_outputs(executable.execute(inputs, {}), signature, rows)
        executable.close()

    def test_a_row_is_answered_alike_alone_and_in_a_batch(self, tmp_path: Path) -> None:
        executable = self.load(self.example(tmp_path))
        inputs = self.inputs(executable, 3)
        together = executable.execute(inputs, {}).outputs
        for row in range(3):
            alone = executable.execute([t.rows(row, row + 1) for t in inputs], {}).outputs
            assert_close(alone, [t.rows(row, row + 1) for t in together])
        executable.close()

    def test_two_copies_are_strangers(self, tmp_path: Path) -> None:
        ref = self.example(tmp_path)
        first, second = self.load(ref), self.load(ref)
        inputs = self.inputs(first, 1)
        expected = _copied(first.execute(inputs, {}).outputs)
        first.close()
        assert_close(second.execute(inputs, {}).outputs, expected)
        second.close()

    def test_an_answer_is_the_callers_own(self, tmp_path: Path) -> None:
        executable = self.load(self.example(tmp_path))
        first, others = self.inputs(executable, 2), self.inputs(executable, 4)
        outputs = executable.execute(first, {}).outputs
        kept = _copied(outputs)
        executable.execute([t.rows(2, 4) for t in others], {})
        executable.close()
        assert outputs == kept

    def test_a_corrupt_artifact_is_load_failed_and_may_be_tried_again(self, tmp_path: Path) -> None:
        ref = self.corrupt(tmp_path)
        for _ in range(2):
            with pytest.raises(LoadFailed, match="'m' version 1"):
                self.load(ref)

    def test_a_missing_artifact_is_load_failed(self, tmp_path: Path) -> None:
        ref = msgspec.structs.replace(self.corrupt(tmp_path), path=tmp_path / "gone.file")
        with pytest.raises(LoadFailed, match="'m' version 1"):
            self.load(ref)

    async def test_it_warms_up_and_works_on_a_thread(self, tmp_path: Path) -> None:
        ref = self.example(tmp_path)
        executable = self.load(ref)
        loop = asyncio.get_running_loop()
        instance = ThreadInstance(ref.id, executable, loop)
        assert instance.can_inline is executable.inline_safe
        assert 0 < warm_up(ref.id, instance, [example_inputs(executable.signature)]) < 2**62
        inputs = self.inputs(executable, 2)
        expected = _copied(executable.execute(inputs, {}).outputs)
        done = loop.create_future()
        instance.submit(Work(inputs, {}), done.set_result)
        execution = await asyncio.wait_for(done, LIMIT_S)
        assert isinstance(execution.result, ExecuteResult)
        assert_close(execution.result.outputs, expected)
        await asyncio.wait_for(instance.close(), LIMIT_S)


class RuntimeContract(RuntimeContractCore):
    """Besides: where a model can be an identity, each datatype passes bit for bit."""

    @abc.abstractmethod
    def identity(self, folder: Path, dtype: DType) -> ArtifactRef | None:
        """A model of this datatype that answers its input ``x`` ``[-1, 2]`` as output ``y``;
        None: the framework has no such datatype.
        """

    def example(self, folder: Path) -> ArtifactRef:
        ref = self.identity(folder, DType.FP32)
        assert ref is not None
        return ref

    @pytest.mark.parametrize("dtype", list(DType))
    def test_each_datatype_passes_unharmed(self, tmp_path: Path, dtype: DType) -> None:
        ref = self.identity(tmp_path, dtype)
        if ref is None:
            pytest.skip("the framework has no such datatype")
        executable = self.load(ref)
        signature = executable.signature
        assert signature.batched
        assert [(s.name, s.dtype, s.shape) for s in signature.inputs] == [("x", dtype, (-1, 2))]
        assert [(s.name, s.dtype, s.shape) for s in signature.outputs] == [("y", dtype, (-1, 2))]
        for rows in (1, 3):
            x = _some(signature.inputs[0], rows)
            result = executable.execute((x,), {})
            assert result.outputs == (x.renamed("y"),)
            assert not result.invalid
        executable.close()


def assert_close(actual: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    """The same answers; engines may round differently from one batch size to another."""
    assert [(t.name, t.dtype, t.shape) for t in actual] == [
        (t.name, t.dtype, t.shape) for t in expected
    ]
    for got, wanted in zip(actual, expected, strict=True):
        if wanted.array.dtype.kind == "f":
            np.testing.assert_allclose(got.array, wanted.array, rtol=1e-4, atol=1e-5)
        else:
            assert got == wanted


def _copied(tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(Tensor(t.name, t.dtype, t.array.copy()) for t in tensors)


def _some(spec: TensorSpec, rows: int) -> Tensor:
    """Elements that count up from 0, or what comes nearest in the datatype."""
    shape = (rows, *(1 if dim < 0 else dim for dim in spec.shape[1:]))
    count = math.prod(shape)
    if spec.dtype is DType.BYTES:
        items = [f"é{i}".encode() for i in range(count)]
        return Tensor(spec.name, spec.dtype, object_array(items).reshape(shape))
    if spec.dtype is DType.BF16:
        bits = np.array([0x3F80, 0xC000, 0x7F80, 0x0000, 0x8000, 0x4049], np.uint16)
        return Tensor(spec.name, spec.dtype, np.resize(bits, shape))
    numbers = np.arange(count)
    array = numbers % 2 if spec.dtype is DType.BOOL else numbers
    return Tensor(spec.name, spec.dtype, array.reshape(shape).astype(spec.dtype.numpy))
