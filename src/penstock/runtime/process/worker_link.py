"""WorkerLink: one living worker as something to ask: load, compute, are you there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import NamedTuple

from penstock.core.errors import (
    InvalidInput,
    ModelCrashed,
    ModelFailed,
    PenstockError,
)
from penstock.core.ids import ServableId, VersionChoice
from penstock.core.messages import InferRequest
from penstock.runtime.caller import Caller
from penstock.runtime.executable import ExecuteResult
from penstock.runtime.instance import Execution, Work
from penstock.runtime.model_call import call_model
from penstock.runtime.process.channel import FromWorker
from penstock.runtime.process.frame import (
    Answer,
    BadFrame,
    Call,
    Execute,
    Executed,
    Failed,
    ToServer,
    WireError,
)
from penstock.runtime.process.shared_memory import Lent, Segment, SegmentPool
from penstock.runtime.process.tensor_block import pack, shared_bytes, unpack
from penstock.runtime.process.wire_error import error_in, error_out
from penstock.runtime.process.worker_host import WorkerHost

_log = logging.getLogger("penstock.runtime")

_MAX_INT = 2**63 - 1


class _Batch(NamedTuple):
    """The batch under way.

    Attributes:
        on_done: told of its end.
        deadline_ns: the work's.
        lent: the segments it uses.
        output: of those, the one for the outputs; None: there is none.
    """

    on_done: Callable[[Execution], None]
    deadline_ns: int | None
    lent: list[Segment]
    output: Segment | None


class WorkerLink:
    """A worker with its model, to compute one batch after another.

    Args:
        id: the version.
        host: what all workers of this process share.
        channel: the way to the worker.

    Attributes:
        sent: batches sent so far.

    Concurrency: the event loop's thread.
    """

    def __init__(
        self,
        id: ServableId,  # noqa: A002  # the field's name everywhere
        host: WorkerHost,
        channel: FromWorker,
    ) -> None:
        self.sent = 0
        self._id = id
        self._host = host
        self._channel = channel
        self._loop = asyncio.get_running_loop()
        self._pool = SegmentPool(host.budget)
        self._batch: _Batch | None = None
        self._output_bytes = 0
        self._is_calling = False
        self._calls: set[asyncio.Task[None]] = set()

    @property
    def is_busy(self) -> bool:
        """Whether a batch is under way."""
        return self._batch is not None

    def submit(self, work: Work, on_done: Callable[[Execution], None]) -> None:
        """Compute one batch; only while it is not busy."""
        input_segment = self._lend(shared_bytes(work.inputs))
        output_segment = self._lend(self._output_bytes)
        lent = [one.segment for one in (input_segment, output_segment) if one is not None]
        output = None if output_segment is None else output_segment.segment
        given = [one for one in (input_segment, output_segment) if one is not None]
        new = [one for one in given if one.fd >= 0]
        dropped = self._pool.dropped()
        try:
            packed = pack(
                work.inputs, None if input_segment is None else input_segment.segment.bytes
            )
            message = Execute(
                packed.heads,
                dict(work.parameters),
                None if work.deadline_ns is None else min(work.deadline_ns, _MAX_INT),
                input_segment=-1 if input_segment is None else input_segment.segment.id,
                output_segment=-1 if output is None else output.id,
                new_segments=[(one.segment.id, one.segment.num_bytes) for one in new],
                dropped_segments=dropped,
            )
            self._channel.send(message, packed, [one.fd for one in new])
        except BaseException:  # a parameter that no frame can hold, for one: nothing was sent
            self._pool.take_back(given, dropped)
            raise
        self._batch = _Batch(on_done, work.deadline_ns, lent, output)
        self.sent += 1

    def take(self, message: ToServer, body: memoryview) -> None:
        """Handle what the worker says.

        Raises:
            BadFrame: it makes no sense now.
        """
        if isinstance(message, Executed) and self._batch is not None:
            self._complete(self._batch, message, body)
        elif isinstance(message, Call):
            self._start_call(message, body)
        else:
            raise BadFrame(f"a {type(message).__name__} nobody asked for")

    def end(self, why: str, *, has_begun: bool) -> None:
        """The worker is gone: the batch under way has crashed.

        Args:
            why: the reason, for people.
            has_begun: whether the worker had begun it.
        """
        for call in self._calls:
            call.cancel()
        self._pool.close()
        batch, self._batch = self._batch, None
        if batch is not None:
            did = "computed this batch" if has_begun else "had other work before this batch"
            text = f"{self._id}: its worker died while it {did}: {why}"
            error = ModelCrashed(text, is_reported=True, has_begun=has_begun)
            batch.on_done(Execution(error, 0, 0))

    def _lend(self, num_bytes: int) -> Lent | None:
        return self._pool.lend(num_bytes) if num_bytes else None

    def _complete(self, batch: _Batch, message: Executed, body: memoryview) -> None:
        is_shared = batch.output is not None and any(head.offset >= 0 for head in message.tensors)
        view = None
        if is_shared and batch.output is not None:
            view = self._pool.lend_view(batch.output)
        outputs = unpack(message.tensors, body, view)
        self._batch = None
        self._output_bytes = max(self._output_bytes, message.segment_bytes)
        for segment in batch.lent:
            if view is None or segment is not batch.output:
                self._pool.give_back(segment)
        result: ExecuteResult | PenstockError
        if message.error is not None:
            result = _model_error(error_in(message.error))
        else:
            result = ExecuteResult(
                outputs, {row: _refusal(error) for row, error in message.invalid.items()}
            )
        execution = Execution(result, message.started_ns, message.ended_ns)
        self._loop.call_soon(batch.on_done, execution)  # what it raises is not the worker's fault

    def _start_call(self, message: Call, body: memoryview) -> None:
        if self._is_calling:
            raise BadFrame("a second call before the first was answered")
        self._is_calling = True
        task = self._loop.create_task(self._call(message, body), name="penstock worker call")
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _call(self, message: Call, body: memoryview) -> None:
        """Ask another model for the one in the worker."""
        caller = None if self._batch is None else Caller(self._id, self._batch.deadline_ns)
        try:
            request = InferRequest(
                model=message.model,
                inputs=unpack(message.tensors, body, None),
                choice=VersionChoice.parse(message.version),
            )
            response = await call_model(self._host.client, request, caller)
        except PenstockError as err:
            self._is_calling = False
            self._channel.send(Failed(error_out(err)))
        except Exception as err:  # noqa: BLE001  # whatever it is, the worker waits for an answer
            _log.exception("%s: its call to model '%s'", self._id, message.model)
            text = f"its call to model '{message.model}' failed: {type(err).__name__}"
            self._is_calling = False
            self._channel.send(Failed(error_out(ModelFailed(text))))
        else:
            packed = pack(response.outputs, None)
            self._is_calling = False
            self._channel.send(Answer(packed.heads), packed)


def _model_error(error: PenstockError) -> PenstockError:
    """An error as a living worker may tell it: that it died is for us to say."""
    if isinstance(error, ModelCrashed):
        return ModelFailed(error.message, is_reported=error.is_reported)
    return error


def _refusal(error: WireError) -> InvalidInput:
    return InvalidInput(error.index, error.message)
