"""shared_model: one loaded copy of a model for a whole process, whoever asks for it there."""

from __future__ import annotations

import os
import threading

import msgspec

from penstock.app.jobs.predictors import open_predictors
from penstock.core.signature import ModelSignature
from penstock.core.tensor import Tensor
from penstock.jobs.model_ref import ModelRef
from penstock.jobs.predictor import ModelIdentity, Predictors
from penstock.runtime.executable import ExecuteResult


class SharedModel:
    """A ``jobs.Predictor`` that any thread may ask; one at a time is answered.

    Attributes:
        signature: what it takes and gives.
    """

    def __init__(self, predictors: Predictors) -> None:
        self._predictors = predictors
        self.signature: ModelSignature = predictors.signature  # before: the first copy tells it
        self._predictor = predictors.open()
        self._lock = threading.Lock()

    @property
    def identity(self) -> ModelIdentity:
        """Which model it is."""
        return self._predictors.identity

    def predict(self, inputs: tuple[Tensor, ...]) -> ExecuteResult:
        """See ``jobs.Predictor.predict``."""
        with self._lock:
            return self._predictor.predict(inputs)

    def close(self) -> None:
        """Give back what it holds."""
        self._predictor.close()
        self._predictors.close()


class _Copies:
    """The copies of a process, by what they are of."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._copies: dict[tuple[int, bytes], SharedModel] = {}

    def get(self, ref: ModelRef) -> SharedModel:
        key = (os.getpid(), msgspec.json.encode(ref))  # a fork has none of its parent's threads
        with self._lock:
            if key not in self._copies:
                self._copies[key] = SharedModel(open_predictors(ref))
            return self._copies[key]


_COPIES = _Copies()


def shared_model(ref: ModelRef) -> SharedModel:
    """The process's copy of a model; the first who asks waits until it is loaded. It stays for as
    long as the process lives: runners keep theirs for many tasks.

    Raises:
        ConfigError, NotFound: there is no such model.
        LoadFailed: it does not load.
    """
    return _COPIES.get(ref)
