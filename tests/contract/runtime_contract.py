"""What every Runtime promises. An implementation's test inherits it and makes the artifacts."""

import abc
import asyncio
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from penstock.core.dtype import DType
from penstock.core.errors import LoadFailed
from penstock.core.ids import ServableId
from penstock.core.tensor import Array, Tensor, object_array
from penstock.repository.artifact import ArtifactRef
from penstock.repository.manifest import Manifest
from penstock.runtime.executable import Executable
from penstock.runtime.instance import ThreadInstance, Work
from penstock.runtime.runtime import Runtime
from penstock.runtime.warmup import example_inputs, warm_up

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


class RuntimeContract(abc.ABC):
    """The law of ``runtime/runtime.py`` and ``runtime/executable.py`` as tests."""

    runtime: Runtime

    @abc.abstractmethod
    def identity(self, folder: Path, dtype: DType) -> ArtifactRef | None:
        """A model of this datatype that answers its input ``x`` ``[-1, 2]`` as output ``y``;
        None: the framework has no such datatype.
        """

    @abc.abstractmethod
    def corrupt(self, folder: Path) -> ArtifactRef:
        """An artifact that is none."""

    def load(self, ref: ArtifactRef) -> Executable:
        return self.runtime.load(ref, NoClient())

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
            x = _some(dtype, rows)
            result = executable.execute((x,), {})
            assert result.outputs == (x.renamed("y"),)
            assert not result.invalid
        executable.close()

    def test_two_copies_are_strangers(self, tmp_path: Path) -> None:
        ref = self.identity(tmp_path, DType.FP32)
        assert ref is not None
        first, second = self.load(ref), self.load(ref)
        first.close()
        x = _some(DType.FP32, 1)
        assert second.execute((x,), {}).outputs == (x.renamed("y"),)
        second.close()

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
        ref = self.identity(tmp_path, DType.FP32)
        assert ref is not None
        executable = self.load(ref)
        loop = asyncio.get_running_loop()
        instance = ThreadInstance(ref.id, executable, loop)
        assert instance.can_inline is executable.inline_safe
        assert 0 < warm_up(ref.id, instance, [example_inputs(executable.signature)]) < 2**62
        x = _some(DType.FP32, 2)
        done = loop.create_future()
        instance.submit(Work((x,), {}), done.set_result)
        execution = await asyncio.wait_for(done, LIMIT_S)
        assert execution.result.outputs == (x.renamed("y"),)
        await asyncio.wait_for(instance.close(), LIMIT_S)


def _some(dtype: DType, rows: int) -> Tensor:
    count = rows * 2
    if dtype is DType.BYTES:
        items = [f"é{i}".encode() for i in range(count)]
        return Tensor("x", dtype, object_array(items).reshape(rows, 2))
    if dtype is DType.BF16:
        bits = np.array([0x3F80, 0xC000, 0x7F80, 0x0000, 0x8000, 0x4049], np.uint16)
        return Tensor("x", dtype, bits[:count].reshape(rows, 2))
    array = np.arange(count).reshape(rows, 2) % 2 if dtype is DType.BOOL else np.arange(count)
    return Tensor("x", dtype, array.reshape(rows, 2).astype(dtype.numpy))
