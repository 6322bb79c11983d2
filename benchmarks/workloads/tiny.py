"""Workload `tiny`: the digits classifier, where the server and not the model sets the pace."""

from __future__ import annotations

import numpy as np

from benchmarks.messages import PIXELS
from benchmarks.places import digits_repository, newest_onnx
from benchmarks.workloads.onnx_answer import onnx_answer
from benchmarks.workloads.workload import Workload


def tiny() -> Workload:
    """Return the workload; FileNotFoundError says how to make the model."""
    onnx = newest_onnx(digits_repository())
    sample = {"pixels": np.array([PIXELS], np.float32)}
    return Workload(
        name="tiny",
        model="digits",
        what="digits classifier (ONNX, about 10 us a run), one row of 64 floats",
        onnx=onnx,
        outputs=("label", "probabilities"),
        samples=(sample,),
        expected=onnx_answer(onnx, sample),
        encodings=("json", "binary", "grpc"),
        max_batch_size=32,
    )
