"""The one way in which every peer opens the model: ONNX Runtime, CPU, one thread per session."""

import os

import numpy as np
import onnxruntime


class DigitsSession:
    """The digits classifier; the file comes from the environment variable BENCH_MODEL."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            os.environ["BENCH_MODEL"], options, providers=["CPUExecutionProvider"]
        )

    def predict(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Classify `pixels` (FP32 [n, 64]); return label (INT64 [n]) and probabilities [n, 10]."""
        label, probabilities = self._session.run(["label", "probabilities"], {"pixels": pixels})
        return label, probabilities


def v2_answer(label: np.ndarray, probabilities: np.ndarray) -> dict:
    """Return the V2 JSON response of label INT64 [n] and probabilities FP32 [n, 10]."""
    rows = len(label)
    return {
        "model_name": "digits",
        "outputs": [
            {"name": "label", "shape": [rows], "datatype": "INT64", "data": label.tolist()},
            {
                "name": "probabilities",
                "shape": [rows, 10],
                "datatype": "FP32",
                "data": probabilities.ravel().tolist(),
            },
        ],
    }
