"""Intake: requests become what waits in the queue, with what they merge by."""

from __future__ import annotations

import asyncio

from penstock.core.messages import InferRequest
from penstock.scheduler.batch import cut
from penstock.scheduler.merge_key import merge_key
from penstock.scheduler.model_info import ModelInfo
from penstock.scheduler.padding import Padding
from penstock.scheduler.request_queue import Waiting


class Intake:
    """Makes a model's requests ready to wait.

    Args:
        info: the model.
        padding: its padding; None: nothing is padded.
        loop: where outcomes are awaited.
    """

    def __init__(
        self, info: ModelInfo, padding: Padding | None, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._max_rows = info.max_batch_size
        self._padding = padding
        self._loop = loop
        self._one_shape = all(
            -1 not in s.shape[1:] and not s.optional for s in info.signature.inputs
        )

    def waiting(
        self, request: InferRequest, rows: int, arrived_ns: int, deadline_ns: int
    ) -> Waiting:
        """One request of ``rows`` rows."""
        waiting = Waiting(
            request,
            rows,
            arrived_ns=arrived_ns,
            deadline_ns=deadline_ns,
            outcome=self._loop.create_future(),
        )
        padding = self._padding
        if padding is not None:
            waiting.length = padding.length(request.inputs)
        if self._max_rows > 1 and rows > 0:
            plain = self._one_shape and not request.parameters
            waiting.key = () if plain else merge_key(request, padding)
        return waiting

    def parts(
        self, request: InferRequest, rows: int, arrived_ns: int, deadline_ns: int
    ) -> list[Waiting]:
        """A request as it waits: in several parts if it is larger than a batch."""
        if not rows > self._max_rows > 0:
            return [self.waiting(request, rows, arrived_ns, deadline_ns)]
        chunks = []
        for start, part in cut(request, rows, self._max_rows):
            chunk = self.waiting(part, part.inputs[0].shape[0], arrived_ns, deadline_ns)
            chunk.first_row = start
            chunks.append(chunk)
        return chunks
