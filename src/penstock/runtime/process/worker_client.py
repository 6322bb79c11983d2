"""WorkerClient: how a model in a worker calls other models of its server."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from penstock.core.errors import ModelFailed, NotReady
from penstock.core.tensor import Array, Tensor
from penstock.runtime.process.frame import Answer, Call, Failed, Ping, Pong
from penstock.runtime.process.tensor_block import pack, unpack
from penstock.runtime.process.wire_error import error_in
from penstock.runtime.process.worker_channel import WorkerChannel


class WorkerClient:
    """A ``ModelClient`` over the worker's channel, for the thread that made it.

    Attributes:
        channel: of the server that it asks: the one whose batch is computed.
    """

    def __init__(self, channel: WorkerChannel) -> None:
        self.channel = channel
        self._thread = threading.get_ident()

    def infer(self, model: str, /, *, version: str = "", **inputs: Any) -> dict[str, Array]:
        """Predict with another model; see ``penstock.ModelClient.infer``."""
        if threading.get_ident() != self._thread:
            raise ModelFailed(
                "a model in a worker process calls other models on the thread of its predict only"
            )
        packed = pack([Tensor.from_array(n, np.asarray(v)) for n, v in inputs.items()], None)
        self.channel.send(Call(model, version, packed.heads), packed)
        while (received := self.channel.receive()) is not None:
            message, body = received
            if isinstance(message, Answer):
                return {t.name: t.array for t in unpack(message.tensors, body, None)}
            if isinstance(message, Failed):
                raise error_in(message.error)
            if isinstance(message, Ping):
                self.channel.send(Pong())
        raise NotReady("the server has gone")
