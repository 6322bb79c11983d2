"""OnDemand: brings a cold model into memory for the requests that wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import msgspec

from penstock.core.clock import Clock
from penstock.core.deadline import Deadline
from penstock.core.errors import DeadlineExceeded, LoadFailed, NotReady, Overloaded
from penstock.core.messages import InferRequest
from penstock.core.status import VersionState
from penstock.lifecycle.backoff import Backoff
from penstock.lifecycle.handle import ServableHandle
from penstock.lifecycle.harness import LoaderHarness
from penstock.lifecycle.manager import Manager
from penstock.lifecycle.stream import Stream
from penstock.repository.manifest import Queue

_COMING: Final = (VersionState.NEW, VersionState.LOADING)


class OnDemandOptions(msgspec.Struct, frozen=True):
    """How long and how many may wait for cold models.

    Attributes:
        room_wait_s: how long requests wait for room while all that is loaded is in use or has
            only just come; then they are refused. 0: they are refused at once.
        max_waiting_requests: requests that may wait for cold models, all models together.
        initial_backoff_s: seconds after a failed load in which nobody's request tries again;
            doubled after each further failure.
        max_backoff_s: the longest of these times, in seconds.
    """

    room_wait_s: float = 5.0
    max_waiting_requests: int = 1000
    initial_backoff_s: float = 1.0
    max_backoff_s: float = 60.0


class _NoRoom(NamedTuple):
    """That a model was given no room in time, and why."""

    reason: str


class _Bringing:
    """One model on its way into memory, and who waits for it.

    Attributes:
        stream: its books.
        task: ends when every version of it is ready or has failed; its result says whether room
            was refused.
        num_requests, num_bytes: what waits.
    """

    def __init__(self, stream: Stream, task: asyncio.Task[_NoRoom | None]) -> None:
        self.stream = stream
        self.task = task
        self.num_requests = 0
        self.num_bytes = 0


class OnDemand:
    """Lends versions of models that may not be in memory yet.

    Laws: however many requests wait for a model, it is loaded once; each has its outcome by its
    own deadline, and none feels that another one gives up; a model that cannot be loaded is tried
    again after a while, not for each request.

    Args:
        manager: knows what is loaded and makes it so.
        options: how long and how many may wait.
        queue_of: the queue settings of a model by its name; requests wait for a cold model
            within the same bounds as for an instance of a loaded one.
        clock: the time.
        sleep: waits so many seconds before room is looked for again.

    Attributes:
        num_waiting: requests that wait now.

    Concurrency: the event loop's thread only.
    """

    def __init__(
        self,
        manager: Manager,
        options: OnDemandOptions,
        queue_of: Callable[[str], Queue],
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._manager = manager
        self._options = options
        self._queue_of = queue_of
        self._clock = clock
        self._sleep = sleep
        self._bringing: dict[str, _Bringing] = {}
        self._backoff = Backoff(options.initial_backoff_s, options.max_backoff_s)
        self.num_waiting = 0

    async def fetch(self, request: InferRequest) -> ServableHandle:
        """Lend the version a request wants, once it is in memory.

        A request without a deadline gets its model's ``queue.default_timeout_s``, which then
        holds for all of its way.

        Raises:
            NotFound: no such model, version or label.
            NotReady: it does not serve, and is not loaded on demand.
            LoadFailed: it could not be loaded, now or a short while ago.
            Overloaded: too many wait already, or all other models are in use: there is no room.
            DeadlineExceeded: the request's time ran out before it was loaded.
            asyncio.CancelledError: the request was taken back; it waits no longer.
        """
        while True:
            try:
                return self._manager.handle(request.model, request.choice)
            except NotReady as why_not:
                self._check_failures(request)
                self._check_deadline(request)
                handle = await self._brought(request, self._join(request, why_not))
            if handle is not None:
                return handle

    async def _brought(self, request: InferRequest, bringing: _Bringing) -> ServableHandle | None:
        """What a request waited for; None: it was there and went again, or it is another now."""
        name, stream = request.model, bringing.stream
        try:
            await self._wait(request, bringing)
            handle = self._manager.handle(name, request.choice)
        except NotReady:
            self._check_failures(request)
            if stream.is_loaded() and stream.is_demanded:
                raise
            return None
        else:
            self._backoff.forget(name)
            return handle
        finally:
            self._leave(request, bringing)

    def _check_failures(self, request: InferRequest) -> None:
        """Refuse a request for a model that failed a moment ago; else let it be tried again.

        A version that failed is no reason while another one that may answer is on its way.

        Raises:
            LoadFailed: it is too early to try again.
        """
        name = request.model
        failures = self._manager.failures(name)
        if not failures or self._is_on_its_way(request):
            return
        left_s = self._backoff.left_s(name, failures, self._clock.monotonic_ns())
        if left_s > 0:
            reasons = "; ".join(one.says() for one in failures)
            text = f"{reasons}; it is tried again in {left_s:.1f} s at the earliest"
            raise LoadFailed(text, retryable=True, retry_after_s=left_s)
        self._backoff.tried_again(name)
        self._manager.retry_failed(name)

    def _is_on_its_way(self, request: InferRequest) -> bool:
        """Whether a version that would do for a request is being loaded, or waits for that."""
        version = request.choice.version
        return any(
            status.state in _COMING and version in (None, status.id.version)
            for status in self._manager.statuses(request.model)
        )

    def _join(self, request: InferRequest, why_not: NotReady) -> _Bringing:
        """Wait with the others for this model; the first one has it loaded.

        Raises:
            NotReady: ``why_not``: it is not loaded on demand.
            Overloaded: there is no room in the queue.
        """
        name = request.model
        num_bytes = _num_bytes(request)
        bringing = self._bringing.get(name)
        self._admit(name, bringing, num_bytes)
        stream = self._manager.demand(name)
        if stream is None:
            raise why_not
        if bringing is None or bringing.task.done() or bringing.stream is not stream:
            task = asyncio.get_running_loop().create_task(self._bring(stream), name=f"bring {name}")
            bringing = self._bringing[name] = _Bringing(stream, task)
        bringing.num_requests += 1
        bringing.num_bytes += num_bytes
        self.num_waiting += 1
        return bringing

    def _admit(self, name: str, bringing: _Bringing | None, num_bytes: int) -> None:
        queue, limit = self._queue_of(name), self._options.max_waiting_requests
        waiting = (bringing.num_requests, bringing.num_bytes) if bringing is not None else (0, 0)
        if self.num_waiting >= limit:
            raise Overloaded(f"'{name}' is being loaded and {limit} requests wait for such models")
        if waiting[0] >= queue.max_requests or waiting[1] + num_bytes > queue.max_bytes:
            raise Overloaded(
                f"'{name}' is being loaded and its queue is full: {waiting[0]} requests of "
                f"{queue.max_requests}, {waiting[1]} bytes of {int(queue.max_bytes)} wait"
            )

    def _leave(self, request: InferRequest, bringing: _Bringing) -> None:
        """Wait no longer; what nobody waits for is not brought, unless it has begun."""
        bringing.num_requests -= 1
        bringing.num_bytes -= _num_bytes(request)
        self.num_waiting -= 1
        self._manager.forgo(bringing.stream)
        if not bringing.num_requests:
            bringing.task.cancel()
            if self._bringing.get(request.model) is bringing:
                del self._bringing[request.model]

    async def _wait(self, request: InferRequest, bringing: _Bringing) -> None:
        """Wait for the model, but not beyond the request's deadline.

        Raises:
            DeadlineExceeded, Overloaded: see ``fetch``.
        """
        await asyncio.wait({bringing.task}, timeout=self._check_deadline(request))
        if not bringing.task.done():
            waiting = _waiting_for_room(bringing.stream)
            raise _too_late(request.model, "" if waiting is None else f": {waiting.reason}")
        refused = bringing.task.result()
        if refused is not None:
            text = f"'{request.model}' cannot be loaded now: {refused.reason}"
            raise Overloaded(text, retry_after_s=1.0)

    def _check_deadline(self, request: InferRequest) -> float:
        """Seconds a request has left; one that has no deadline gets its model's.

        Raises:
            DeadlineExceeded: none: nothing is loaded for it.
        """
        now_ns = self._clock.monotonic_ns()
        if request.deadline is None:
            timeout_s = self._queue_of(request.model).default_timeout_s
            request.deadline = Deadline.after(timeout_s, request.timeline.started_ns or now_ns)
        if request.deadline.expired(now_ns):
            raise _too_late(request.model, "")
        return request.deadline.remaining_s(now_ns)

    async def _bring(self, stream: Stream) -> _NoRoom | None:
        """Wait until a model is loaded or has failed, or has had no room for too long."""
        started_ns: int | None = None
        while not stream.is_loaded():
            progress, waiting = stream.progress, _waiting_for_room(stream)
            if waiting is None:
                started_ns = None
                await progress.wait()
                continue
            now_ns = self._clock.monotonic_ns()
            started_ns = now_ns if started_ns is None else started_ns
            left_s = self._options.room_wait_s - (now_ns - started_ns) / 1e9
            if left_s <= 0:
                return _NoRoom(waiting.reason)
            if waiting.room_at_ns is not None:
                left_s = min(left_s, max(0.0, (waiting.room_at_ns - now_ns) / 1e9))
            if not await self._comes_first(progress, left_s):
                self._manager.look_again()
        return None

    async def _comes_first(self, event: asyncio.Event, delay_s: float) -> bool:
        """Wait for the event or so many seconds; whether it was the event."""
        waits = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(self._sleep(delay_s))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()
        return event.is_set()


def _too_late(name: str, why: str) -> DeadlineExceeded:
    return DeadlineExceeded(f"'{name}' was not loaded within the request's time{why}")


def _waiting_for_room(stream: Stream) -> LoaderHarness | None:
    """The version of a model whose load waits until others have made room; None: none does."""
    return next((one for one in stream.harnesses if one.awaits_room), None)


def _num_bytes(request: InferRequest) -> int:
    return sum(tensor.num_bytes for tensor in request.inputs)
