"""WorkerLink: one living worker as something to ask: load, compute, are you there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from penstock.core.errors import (
    InvalidInput,
    LoadFailed,
    ModelCrashed,
    ModelFailed,
    PenstockError,
)
from penstock.core.ids import ServableId, VersionChoice
from penstock.core.messages import InferRequest
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.caller import Caller
from penstock.runtime.executable import ExecuteResult
from penstock.runtime.instance import Execution, Work
from penstock.runtime.model_call import call_model
from penstock.runtime.process.channel import Channel
from penstock.runtime.process.frame import (
    PROTOCOL_VERSION,
    Answer,
    BadFrame,
    Call,
    Execute,
    Executed,
    Failed,
    Hello,
    Load,
    Loaded,
    Ping,
    Pong,
    ToServer,
    ToWorker,
    WireError,
)
from penstock.runtime.process.shared_memory import Lent, Segment, SegmentPool
from penstock.runtime.process.tensor_block import Packed, pack, shared_bytes, unpack
from penstock.runtime.process.wire_error import error_in, error_out
from penstock.runtime.process.worker_host import WorkerHost
from penstock.runtime.process.worker_options import WorkerOptions
from penstock.runtime.process.worker_process import WorkerProcess

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
    """A started worker.

    Args:
        artifact: what it loads.
        options: how it is started.
        host: what all workers share.
        on_end: told once when it is gone, with the reason.
        on_lost: told, perhaps some time before, when it can be given no more work.

    Attributes:
        process: the process.

    Concurrency: the event loop's thread.
    """

    def __init__(
        self,
        artifact: ArtifactRef,
        options: WorkerOptions,
        host: WorkerHost,
        on_end: Callable[[str], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._artifact = artifact
        self._id: ServableId = artifact.id
        self._options = options
        self._host = host
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._pool = SegmentPool(host.budget)
        self._loaded: asyncio.Future[Loaded] = self._loop.create_future()
        self._pong: asyncio.Future[None] | None = None
        self._batch: _Batch | None = None
        self._output_bytes = 0
        self._is_calling = False
        self._calls: set[asyncio.Task[None]] = set()
        self.process = WorkerProcess(
            artifact.id,
            options,
            host.reaper,
            on_message=self._take,
            on_end=self._end,
            on_lost=on_lost,
        )
        self._channel: Channel | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a batch is under way."""
        return self._batch is not None

    async def start(self) -> Loaded:
        """Start the process and load the model.

        Raises:
            LoadFailed: the process could not be started, died, was too slow, or could not load.
        """
        self._channel = self.process.start()
        limit_s = self._options.start_timeout_s
        try:
            return await asyncio.wait_for(asyncio.shield(self._loaded), limit_s)
        except TimeoutError:
            self.process.kill(f"it did not load its model within {limit_s:g} s")
            return await self._loaded
        except asyncio.CancelledError:
            self.process.kill("its load was called off")
            raise

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
            self._send(message, packed, [one.fd for one in new])
        except BaseException:  # a parameter that no frame can hold, for one: nothing was sent
            self._pool.take_back(given, dropped)
            raise
        self._batch = _Batch(on_done, work.deadline_ns, lent, output)

    async def ping(self, timeout_s: float) -> bool:
        """Whether it answers; only asked while it is not busy."""
        self._pong = self._loop.create_future()
        self._send(Ping())
        try:
            await asyncio.wait_for(self._pong, timeout_s)
        except TimeoutError:
            return self.is_busy  # work came in between: its own clock holds
        return True

    def kill(self, why: str) -> None:
        """End it now."""
        self.process.kill(why)

    async def close(self, timeout_s: float) -> None:
        """Let it end by itself for so long, then kill it."""
        await self.process.close(timeout_s)

    def _lend(self, num_bytes: int) -> Lent | None:
        return self._pool.lend(num_bytes) if num_bytes else None

    def _send(
        self, message: ToWorker, packed: Packed | None = None, fds: Sequence[int] = ()
    ) -> None:
        assert self._channel is not None  # noqa: S101  # nobody asks before ``start``
        self._channel.send(message, packed, fds)

    def _take(self, message: ToServer, body: memoryview) -> None:
        """Handle what the worker says.

        Raises:
            BadFrame: it makes no sense now.
        """
        if isinstance(message, Executed) and self._batch is not None:
            self._complete(self._batch, message, body)
        elif isinstance(message, Call):
            self._start_call(message, body)
        elif isinstance(message, Pong):
            if self._pong is not None and not self._pong.done():
                self._pong.set_result(None)
        elif isinstance(message, Hello):
            self._greet(message)
        elif isinstance(message, Loaded) and not self._loaded.done():
            self._loaded.set_result(message)
        elif isinstance(message, Failed) and not self._loaded.done():
            self._loaded.set_exception(error_in(message.error))
        else:
            raise BadFrame(f"a {type(message).__name__} nobody asked for")

    def _greet(self, hello: Hello) -> None:
        if hello.protocol == PROTOCOL_VERSION:
            self._send(load_message(self._artifact, self._options.cpus))
            return
        text = (
            f"{self._id}: penstock {hello.penstock} in its own environment speaks to workers in "
            f"version {hello.protocol}, this server in {PROTOCOL_VERSION}: install the same "
            "penstock there"
        )
        self._loaded.set_exception(LoadFailed(text))
        self.process.kill("it speaks another version")

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
            self._send(Failed(error_out(err)))
        except Exception as err:  # noqa: BLE001  # whatever it is, the worker waits for an answer
            _log.exception("%s: its call to model '%s'", self._id, message.model)
            text = f"its call to model '{message.model}' failed: {type(err).__name__}"
            self._is_calling = False
            self._send(Failed(error_out(ModelFailed(text))))
        else:
            packed = pack(response.outputs, None)
            self._is_calling = False
            self._send(Answer(packed.heads), packed)

    def _end(self, why: str) -> None:
        """The process is gone."""
        for call in self._calls:
            call.cancel()
        self._pool.close()
        if self._pong is not None and not self._pong.done():
            self._pong.set_result(None)
        if not self._loaded.done():
            self._loaded.set_exception(self._died_loading(why))
            self._loaded.exception()  # read, in case nobody waits any more
        batch, self._batch = self._batch, None
        self._on_end(why)
        if batch is not None:
            text = f"{self._id}: its worker died while it computed this batch: {why}"
            batch.on_done(Execution(ModelCrashed(text, is_reported=True), 0, 0))

    def _died_loading(self, why: str) -> LoadFailed:
        words = " | ".join(self.process.last_words)
        if "No module named penstock" in words or "No module named 'penstock'" in words:
            return LoadFailed(
                f"{self._id}: there is no penstock in its own environment: "
                f"{self._options.python} -m pip install penstock"
            )
        more = f"; its last words: {words}" if words else ""
        return LoadFailed(f"{self._id}: its worker died while it loaded the model: {why}{more}")


def load_message(artifact: ArtifactRef, cpus: tuple[int, ...]) -> Load:
    """What a worker is told of what it has to load."""
    return Load(
        name=artifact.id.name,
        version=artifact.id.version,
        path=str(artifact.path.absolute()),
        root=str(artifact.root.absolute()),
        runtime=artifact.runtime,
        class_name=artifact.class_name,
        num_bytes=artifact.num_bytes,
        revision=artifact.revision,
        manifest=msgspec.to_builtins(artifact.manifest, enc_hook=int),
        cpus=cpus,
    )


def _model_error(error: PenstockError) -> PenstockError:
    """An error as a living worker may tell it: that it died is for us to say."""
    if isinstance(error, ModelCrashed):
        return ModelFailed(error.message, is_reported=error.is_reported)
    return error


def _refusal(error: WireError) -> InvalidInput:
    return InvalidInput(error.index, error.message)
