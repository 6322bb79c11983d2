"""The models of the workloads as every peer in Python opens them, and batches made for them.

The environment says which: BENCH_WORKLOAD the name, BENCH_MODEL the ONNX file of a model that has
one. An ONNX session has one intra-op thread: copies of the model fill the cores, not threads.
"""

import os

import numpy as np

MAX_BATCH = int(os.environ["BENCH_MAX_BATCH"])
PROCESSES = int(os.environ["BENCH_PROCESSES"])
PATH = os.environ["BENCH_PATH"]
MODEL = PATH.split("/")[3]
RAW = os.environ["BENCH_WORKLOAD"] == "image"
"""Whether requests and answers are the bare bytes of one tensor, and not V2 JSON."""
IMAGE_SHAPE = (4, 256, 256)
DTYPES = {"FP32": np.float32, "INT64": np.int64}
DATATYPES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}


class OnnxModel:
    """A model file in ONNX Runtime on the CPU."""

    def __init__(self) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            os.environ["BENCH_MODEL"], options, providers=["CPUExecutionProvider"]
        )
        self._outputs = [output.name for output in self._session.get_outputs()]

    def predict(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run one batch."""
        return dict(zip(self._outputs, self._session.run(self._outputs, inputs), strict=True))


class ImageModel:
    """The mean of each channel: FP32 [n, 4, 256, 256] to FP32 [n, 4]."""

    def predict(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compute one batch."""
        return {"means": inputs["image"].mean(axis=(2, 3), dtype=np.float32)}


class SpinModel:
    """About 1 ms of pure Python a row, which holds the interpreter's lock; x + 1."""

    def predict(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Add up numbers for each row."""
        for _ in range(len(inputs["x"])):
            total = 0
            for number in range(27_000):
                total += number
        return {"y": inputs["x"] + 1}


MODELS = {"tiny": OnnxModel, "minilm": OnnxModel, "image": ImageModel, "gil": SpinModel}


def load() -> OnnxModel | ImageModel | SpinModel:
    """Open the model of the workload."""
    return MODELS[os.environ["BENCH_WORKLOAD"]]()


def pad(rows: list, dtype: np.dtype | type) -> np.ndarray:
    """Return flat `rows` as one array, the shorter ones filled with zeros to the longest."""
    longest = max(map(len, rows))
    if min(map(len, rows)) == longest:
        return np.asarray(rows, dtype)
    padded = np.zeros((len(rows), longest), dtype)
    for row, values in zip(padded, rows, strict=True):
        row[: len(values)] = values
    return padded


def batch_of(requests: list[dict]) -> dict[str, np.ndarray]:
    """Return V2 JSON requests of one row each as one batch, ragged rows padded with zeros."""
    found = {}
    for at, first in enumerate(requests[0]["inputs"]):
        rows = [request["inputs"][at]["data"] for request in requests]
        found[first["name"]] = pad(rows, DTYPES[first["datatype"]])
    return found


def answers_of(outputs: dict[str, np.ndarray], rows: int) -> list[dict]:
    """Return the V2 answer of each of the `rows` of a batch."""
    return [
        v2_answer({name: value[at : at + 1] for name, value in outputs.items()})
        for at in range(rows)
    ]


def v2_answer(outputs: dict[str, np.ndarray]) -> dict:
    """Return `outputs` as a V2 JSON response."""
    return {
        "model_name": MODEL,
        "outputs": [
            {
                "name": name,
                "shape": list(value.shape),
                "datatype": DATATYPES[value.dtype],
                "data": value.ravel().tolist(),
            }
            for name, value in outputs.items()
        ],
    }


def image_of(body: bytes) -> dict[str, np.ndarray]:
    """Return the image whose bare bytes `body` holds, as a batch of one."""
    return {"image": np.frombuffer(body, np.float32).reshape(1, *IMAGE_SHAPE)}
