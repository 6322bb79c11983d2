"""Peer: Triton's Python backend, one instance, dynamic batching (copied to model.py)."""

import json
import os
import sys

# The backend's stub runs an isolated interpreter that ignores PYTHONPATH: name the venv here.
sys.path[:0] = os.environ["BENCH_SITE_PACKAGES"].split(os.pathsep)

import numpy as np  # noqa: E402
import triton_python_backend_utils as pb_utils  # noqa: E402
from onnx_session import DigitsSession  # noqa: E402


class TritonPythonModel:
    """The digits classifier as a Triton Python model."""

    def initialize(self, args: dict) -> None:
        """Open the session; `args` carries the model configuration as JSON."""
        assert json.loads(args["model_config"])["max_batch_size"] == 32
        self._session = DigitsSession()

    def execute(self, requests: list) -> list:
        """Run one batch for all `requests` and split its rows back."""
        parts = [pb_utils.get_input_tensor_by_name(r, "pixels").as_numpy() for r in requests]
        pixels = parts[0] if len(parts) == 1 else np.concatenate(parts)
        label, probabilities = self._session.predict(pixels)
        answers, row = [], 0
        for part in parts:
            end = row + len(part)
            answers.append(
                pb_utils.InferenceResponse(
                    [
                        pb_utils.Tensor("label", label[row:end].reshape(-1, 1)),
                        pb_utils.Tensor("probabilities", probabilities[row:end]),
                    ]
                )
            )
            row = end
        return answers
