"""What the arms of the benchmarks say of themselves, with no server started."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.arms.arm import ArmError
from benchmarks.arms.contender import Contender
from benchmarks.arms.registry import ARMS
from benchmarks.arms.triton import Triton
from benchmarks.workloads.gil import gil
from benchmarks.workloads.image import image
from benchmarks.workloads.workload import Tensors, Workload

RAGGED = Workload(
    name="minilm",
    model="minilm",
    what="rows of different length",
    onnx=Path("model.onnx"),
    outputs=("embedding",),
    samples=tuple({"input_ids": np.ones((1, n), np.int64)} for n in (7, 9)),
    expected={"embedding": np.zeros((1, 384), np.float32)},
    encodings=("json", "binary", "grpc"),
    max_batch_size=4,
    processes=2,
)


@pytest.mark.parametrize("name", ARMS)
@pytest.mark.parametrize("workload", [image(), gil(), RAGGED], ids=lambda workload: workload.name)
def test_every_arm_serves_every_workload_in_forms_that_exist(
    name: str, workload: Workload, tmp_path: Path
) -> None:
    arm = ARMS[name](workload, tmp_path)

    assert arm.note
    if arm.why_not() is None:
        assert set(arm.encodings()) <= {"json", "binary", "grpc"}
    else:
        assert name in ("echo", "echo-grpc", "penstock-2")  # one protocol; no copies of its own


@pytest.mark.parametrize("name", [name for name in ARMS if name != "echo-grpc"])
def test_one_path_for_all_requests_of_an_encoding(name: str, tmp_path: Path) -> None:
    arm = ARMS[name](image(), tmp_path)

    requests = [arm.http_request("binary", sample) for sample in arm.workload.samples]

    assert len({request.path for request in requests}) == 1
    assert len({request.body for request in requests}) == len(requests)


def test_triton_batches_ragged_rows_and_nothing_where_there_is_no_batching(tmp_path: Path) -> None:
    ragged = Triton(RAGGED, tmp_path)._config()
    single = Triton(gil(), tmp_path)._config()

    assert "allow_ragged_batch: true" in ragged
    assert "dims: [-1]" in ragged
    assert "dynamic_batching" in ragged
    assert "count: 2" in single
    assert "dynamic_batching" not in single


class Scripted(Contender):
    """Answers what it is told to."""

    label = "scripted"
    note = "no server"
    other_forms = ("json",)
    answer = 2.0

    def command(self) -> list[str]:
        """Is never started."""
        raise FileNotFoundError("no environment here; make it with `benchmarks.venvs scripted`")

    def ask(
        self, encoding: str, sample: Tensors, timeout_s: float = 10.0, wait: bool = True
    ) -> Tensors:
        """Return the scripted answer."""
        return {"y": np.array([[self.answer]], np.float32)}


def test_a_wrong_answer_is_told(tmp_path: Path) -> None:
    arm = Scripted(gil(), tmp_path)

    arm.check()
    arm.answer = 3.0

    with pytest.raises(ArmError, match=r"scripted answered wrongly \(json\): y is 1 off"):
        arm.check()


def test_an_environment_that_is_missing_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(ArmError, match=r"benchmarks\.venvs scripted"):
        Scripted(gil(), tmp_path).start()


def test_a_workload_in_other_forms_is_declined(tmp_path: Path) -> None:
    assert Scripted(image(), tmp_path).why_not() == "it speaks none of binary, grpc"
