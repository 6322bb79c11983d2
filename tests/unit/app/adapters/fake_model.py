"""A model of texts that is loaded in no time, and counts how often."""

from __future__ import annotations

import threading

import numpy as np

from penstock.core.dtype import DType
from penstock.core.errors import InvalidInput, ModelFailed
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Tensor
from penstock.jobs.predictor import ModelIdentity
from penstock.runtime.executable import ExecuteResult


class FakeModel:
    """Predictors and their predictor in one: the length of each text; "" is refused, and "bomb"
    fails the whole batch.
    """

    def __init__(self) -> None:
        self.identity = ModelIdentity("words", 1, "d" * 64)
        self.signature = ModelSignature(
            (TensorSpec("text", DType.BYTES, (-1,)),),
            (TensorSpec("letters", DType.UINT16, (-1,)),),
        )
        self.opened = 0
        self.batches: list[int] = []
        self.callers = 0
        self.is_shared_by_two = False
        self.may_answer = threading.Event()
        self.may_answer.set()

    def open(self) -> FakeModel:
        self.opened += 1
        return self

    def predict(self, inputs: tuple[Tensor, ...]) -> ExecuteResult:
        self.callers += 1
        self.is_shared_by_two |= self.callers > 1
        self.may_answer.wait(10)
        self.callers -= 1
        texts = inputs[0].array.tolist()
        self.batches.append(len(texts))
        if b"bomb" in texts:
            raise ModelFailed("a bomb")
        invalid = {row: InvalidInput(row, "empty") for row, text in enumerate(texts) if not text}
        letters = np.array([len(text) for text in texts if text], np.uint16)
        return ExecuteResult((Tensor("letters", DType.UINT16, letters),), invalid)

    def close(self) -> None:
        pass
