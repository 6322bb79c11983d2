"""Peer: BentoML, one worker, adaptive batching, BentoML's natural JSON (keyword arguments)."""

from typing import Annotated

import bentoml
import numpy as np
from bentoml.validators import DType, Shape
from onnx_session import DigitsSession

Pixels = Annotated[np.ndarray, DType("float32"), Shape((-1, 64))]


@bentoml.service(
    name="digits",
    workers=1,
    traffic={"timeout": 10},
    logging={"access": {"enabled": False}},
)
class Digits:
    """The digits classifier as a BentoML service."""

    def __init__(self) -> None:
        self._session = DigitsSession()

    @bentoml.api(batchable=True, max_batch_size=32, route="/predict")
    def predict(self, pixels: Pixels) -> list[dict]:
        """Classify a batch, FP32 [n, 64]; one object with label and probabilities per row."""
        label, probabilities = self._session.predict(pixels)
        return [
            {"label": int(value), "probabilities": row.tolist()}
            for value, row in zip(label, probabilities, strict=True)
        ]
