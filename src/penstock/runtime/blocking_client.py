"""BlockingClient: how a Python model, on its own thread, calls other models of the server."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import numpy as np

from penstock.core.deadline import Deadline
from penstock.core.errors import (
    DeadlineExceeded,
    InvalidArgument,
    ModelFailed,
    NotReady,
    Overloaded,
    PenstockError,
)
from penstock.core.ids import VersionChoice
from penstock.core.messages import InferRequest
from penstock.core.servable import InferenceClient
from penstock.core.tensor import Array, Tensor
from penstock.runtime.caller import CALLER, Caller

_PASSING = (NotReady, Overloaded, DeadlineExceeded)


class BlockingClient:
    """Calls an InferenceClient from any thread but the event loop's own.

    Law: a call made for a batch ends by the latest deadline of the batch's requests; its error
    means to their clients what it means to them: that another model is missing, or was asked
    wrongly, is the calling model's failure, that it is busy or late stays so.
    """

    def __init__(self, client: InferenceClient, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._loop = loop
        self._loop_thread = threading.get_ident()

    def infer(self, model: str, /, *, version: str = "", **inputs: Any) -> dict[str, Array]:
        """Predict with another model; see ``penstock.ModelClient.infer``."""
        if threading.get_ident() == self._loop_thread:
            raise ModelFailed(
                "a model that calls other models must not be inline_safe: it would wait for itself"
            )
        caller = CALLER.get()
        request = InferRequest(
            model=model,
            inputs=tuple(Tensor.from_array(n, np.asarray(v)) for n, v in inputs.items()),
            choice=VersionChoice.parse(version),
        )
        if caller is not None and caller.deadline_ns is not None:
            request.deadline = Deadline(caller.deadline_ns)
        future = asyncio.run_coroutine_threadsafe(self._client.infer(request), self._loop)
        try:
            response = future.result()
        except InvalidArgument as err:
            raise _refused(model, err) from err
        except PenstockError as err:
            if caller is None:  # a warm-up: nobody's request
                raise
            raise _as_seen_by(caller, model, err) from err
        return {tensor.name: tensor.array for tensor in response.outputs}


def _as_seen_by(caller: Caller, model: str, error: PenstockError) -> PenstockError:
    """What an error of one model's is to the clients of another that called it."""
    if isinstance(error, ModelFailed):
        return error
    for kind in _PASSING:
        if isinstance(error, kind):
            text = f"{caller.id}: its call to model '{model}': {error.message}"
            return kind(text, retry_after_s=error.retry_after_s)
    return _refused(model, error)


def _refused(model: str, error: PenstockError) -> ModelFailed:
    return ModelFailed(f"its call to model '{model}' was refused: {error.message}")
