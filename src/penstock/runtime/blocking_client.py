"""BlockingClient: how a Python model, on its own thread, calls other models of the server."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import numpy as np

from penstock.core.errors import ModelFailed
from penstock.core.ids import VersionChoice
from penstock.core.messages import InferRequest
from penstock.core.servable import InferenceClient
from penstock.core.tensor import Array, Tensor
from penstock.runtime.caller import CALLER
from penstock.runtime.model_call import call_model


class BlockingClient:
    """Calls an InferenceClient from any thread but the event loop's own; see ``call_model``."""

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
        call = call_model(self._client, request, caller)
        response = asyncio.run_coroutine_threadsafe(call, self._loop).result()
        return {tensor.name: tensor.array for tensor in response.outputs}
