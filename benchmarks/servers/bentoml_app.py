"""Peer: BentoML, adaptive batching where there is any, its natural forms: its own JSON (keyword
arguments, lists of rows), and for an image a multipart upload.
"""

from pathlib import Path
from typing import Annotated

import bentoml
import numpy as np
import workload_model
from bentoml.validators import DType, Shape

Pixels = Annotated[np.ndarray, DType("float32"), Shape((-1, 64))]
Column = Annotated[np.ndarray, DType("float32"), Shape((-1, 1))]
MAX_BATCH = max(2, workload_model.MAX_BATCH)  # 1 is refused, also by a service not served

service = bentoml.service(
    workers=workload_model.PROCESSES,
    traffic={"timeout": 30},
    logging={"access": {"enabled": False}},
)


class Loaded:
    """Opens the model in the worker."""

    def __init__(self) -> None:
        self._model = workload_model.load()


@service
class Tiny(Loaded):
    """The digits classifier."""

    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH, route="/predict")
    def predict(self, pixels: Pixels) -> list[dict]:
        """Classify a batch, FP32 [n, 64]; one object with label and probabilities per row."""
        outputs = self._model.predict({"pixels": pixels})
        return [
            {"label": int(value), "probabilities": row.tolist()}
            for value, row in zip(outputs["label"], outputs["probabilities"], strict=True)
        ]


@service
class Minilm(Loaded):
    """The sentence encoder."""

    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH, route="/predict")
    def predict(self, input_ids: list[list[int]]) -> list[list[float]]:
        """Embed a batch of sentences of any length. Batching takes one argument, so the mask of a
        sentence is made here: all ones.
        """
        ids = workload_model.pad(input_ids, np.int64)
        mask = workload_model.pad([[1] * len(row) for row in input_ids], np.int64)
        outputs = self._model.predict({"input_ids": ids, "attention_mask": mask})
        return outputs["embedding"].tolist()


@service
class Gil(Loaded):
    """A millisecond of Python."""

    @bentoml.api(route="/predict")
    def predict(self, x: Column) -> list[list[float]]:
        """Answer one request."""
        return self._model.predict({"x": x})["y"].tolist()


@service
class Image(Loaded):
    """The mean of each channel."""

    @bentoml.api(route="/predict")
    def predict(self, image: Path) -> list[float]:
        """Answer one image, given as a file of bare bytes."""
        return self._model.predict(workload_model.image_of(image.read_bytes()))["means"][0].tolist()
