"""WorkerClient: how a model in a worker calls other models of its server."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from penstock.core.errors import NotReady
from penstock.core.tensor import Array, Tensor
from penstock.runtime.process.frame import Answer, Call, Failed, Ping, Pong
from penstock.runtime.process.tensor_block import pack, unpack
from penstock.runtime.process.wire_error import error_in
from penstock.runtime.process.worker_channel import WorkerChannel


class WorkerClient:
    """A ``ModelClient`` over the worker's channel; one call at a time."""

    def __init__(self, channel: WorkerChannel) -> None:
        self._channel = channel
        self._calling = threading.Lock()

    def infer(self, model: str, /, *, version: str = "", **inputs: Any) -> dict[str, Array]:
        """Predict with another model; see ``penstock.ModelClient.infer``."""
        packed = pack([Tensor.from_array(n, np.asarray(v)) for n, v in inputs.items()], None)
        with self._calling:
            self._channel.send(Call(model, version, packed.heads), packed)
            while (received := self._channel.receive()) is not None:
                message, body = received
                if isinstance(message, Answer):
                    return {t.name: t.array for t in unpack(message.tensors, body, None)}
                if isinstance(message, Failed):
                    raise error_in(message.error)
                if isinstance(message, Ping):
                    self._channel.send(Pong())
        raise NotReady("the server has gone")
