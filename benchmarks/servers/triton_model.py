"""Peer: Triton's Python backend, with dynamic batching where there is any (copied to model.py)."""

import os
import sys

# The backend's stub runs an isolated interpreter that ignores PYTHONPATH: name the venv here.
sys.path[:0] = os.environ["BENCH_SITE_PACKAGES"].split(os.pathsep)

import numpy as np  # noqa: E402
import triton_python_backend_utils as pb_utils  # noqa: E402
import workload_model  # noqa: E402


def merge(parts: list) -> np.ndarray:
    """Return the tensors of one input as one batch; rows of different length are padded."""
    if len(parts) == 1:
        return parts[0]
    if len({part.shape[1:] for part in parts}) == 1:
        return np.concatenate(parts)
    return workload_model.pad([row for part in parts for row in part], parts[0].dtype)


class TritonPythonModel:
    """The workload's model as a Triton Python model."""

    def initialize(self, args: dict) -> None:
        """Open the model."""
        self._model = workload_model.load()

    def execute(self, requests: list) -> list:
        """Run one batch for all `requests` and split its rows back."""
        names = [tensor.name() for tensor in requests[0].inputs()]
        parts = {
            name: [pb_utils.get_input_tensor_by_name(r, name).as_numpy() for r in requests]
            for name in names
        }
        outputs = self._model.predict({name: merge(found) for name, found in parts.items()})
        outputs = {n: v.reshape(-1, 1) if v.ndim == 1 else v for n, v in outputs.items()}
        answers, row = [], 0
        for part in parts[names[0]]:
            end = row + len(part)
            tensors = [pb_utils.Tensor(name, value[row:end]) for name, value in outputs.items()]
            answers.append(pb_utils.InferenceResponse(tensors))
            row = end
        return answers
