"""What counts as a right answer."""

import numpy as np

from benchmarks.workloads.workload import Workload

WORKLOAD = Workload(
    name="w",
    model="m",
    what="",
    onnx=None,
    outputs=("y",),
    samples=({"x": np.zeros((1, 1))},),
    expected={"y": np.array([[1.0, 2.0]])},
    encodings=("json",),
)


def test_an_answer_may_drop_the_batch_axis_and_be_a_little_off() -> None:
    assert WORKLOAD.difference({"y": np.array([1.0, 2.00001]), "more": np.zeros(1)}) is None


def test_what_is_wrong_is_said() -> None:
    assert "no output 'y'" in (WORKLOAD.difference({"z": np.zeros(2)}) or "")
    assert "1 values, expected 2" in (WORKLOAD.difference({"y": np.zeros(1)}) or "")
    assert "off" in (WORKLOAD.difference({"y": np.array([1.0, 2.1])}) or "")
    assert "off" in (WORKLOAD.difference({"y": np.array([1.0, np.nan])}) or "")
