"""ProcessInstance: a copy of a model in a process of its own, wherever that comes from.

Whatever becomes of the process, its server and the other copies go on: the batch it had fails at
once with a typed error, and another process takes its place.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from penstock.core.clock import Clock, SystemClock
from penstock.core.errors import LoadFailed, ModelCrashed, NotReady, PenstockError
from penstock.core.tensor import Tensor
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.instance import Execution, Work
from penstock.runtime.model_fault import report
from penstock.runtime.process.channel import FromWorker
from penstock.runtime.process.frame import BadFrame, Loaded, ToServer
from penstock.runtime.process.resident import resident_bytes
from penstock.runtime.process.worker_host import WorkerHost
from penstock.runtime.process.worker_link import WorkerLink

_log = logging.getLogger("penstock.runtime")

_CLOSE_TIMEOUT_S = 10.0
_MAX_PATIENCE_S = 366 * 24 * 3600.0


class ProcessInstance:
    """An ``Instance`` whose work is done by a worker process. A ``WorkerOwner``.

    Args:
        artifact: what the worker loads.
        index: which copy of its model this is, from 0.
        host: what all workers share.
        clock: where time comes from.

    Attributes:
        deaths: how often a worker of this copy has died, in all.

    Raises:
        LoadFailed: the manifest asks for what is not there.

    Concurrency: the event loop's thread, but for ``run``.
    """

    can_inline = False
    takes_ahead = False

    def __init__(
        self,
        artifact: ArtifactRef,
        index: int,
        host: WorkerHost,
        clock: Clock | None = None,
    ) -> None:
        self.deaths = 0
        self._id = artifact.id
        self._kill_after_s = artifact.manifest.instances.kill_after_s
        self._host = host
        self._clock = clock or SystemClock()
        self._loop = asyncio.get_running_loop()
        self._source = host.supply.source(artifact, index, self)
        self._link: WorkerLink | None = None
        self._examples: Sequence[tuple[Tensor, ...]] = ()
        self._fault: NotReady | None = None
        self._is_up = False
        self._is_closed = False
        self._on_change: Callable[[], None] = _nothing
        self._on_done: Callable[[Execution], None] | None = None
        self._hang_timer: asyncio.TimerHandle | None = None
        self._revival: asyncio.Task[None] | None = None
        self._quiet = asyncio.Event()

    @property
    def is_ready(self) -> bool:
        """Whether its worker lives and has its model."""
        return self._is_up

    @property
    def is_elsewhere(self) -> bool:
        """Whether its worker computes for another serving process now."""
        return self._source.is_elsewhere

    @property
    def is_busy(self) -> bool:
        """Whether a batch is under way."""
        return self._link is not None and self._link.is_busy

    @property
    def fault(self) -> NotReady | None:
        """Why it is in quarantine; None: it is not."""
        return self._fault

    @property
    def memory_bytes(self) -> int | None:
        """What its worker holds in memory now, or this process's part; None: there is no worker."""
        return resident_bytes(self.pid) // self._host.num_sharing or None

    @property
    def pid(self) -> int:
        """The worker's process; 0: there is none now."""
        return self._source.pid

    def watch(self, on_change: Callable[[], None]) -> None:
        """See ``Instance.watch``."""
        self._on_change = on_change

    async def start(self) -> Loaded:
        """Start the worker and load the model.

        Raises:
            LoadFailed: it could not be started or could not load.
        """
        self._host.add(self._id, self)
        try:
            loaded = await self._source.start()
            if self._link is None:
                text = f"{self._id}: its worker died as soon as it had loaded the model"
                raise LoadFailed(text, retryable=True)
        except BaseException:
            await self._source.close(_CLOSE_TIMEOUT_S)
            self._host.remove(self)
            raise
        self._is_up = True
        return loaded

    def revive_with(self, examples: Sequence[tuple[Tensor, ...]]) -> None:
        """What a worker that takes the place of a dead one is warmed up with."""
        self._examples = examples

    def submit(self, work: Work, on_done: Callable[[Execution], None]) -> None:
        """Have the worker compute; one that hangs is killed some time after the deadline."""
        link = self._link
        if link is None or link.is_busy:
            raise RuntimeError(f"{self._id}: work for a copy that takes none")
        link.submit(work, self._done)
        self._on_done = on_done
        if not self._source.ends_hangs:
            self._hang_timer = self._start_hang_timer(work)

    def _start_hang_timer(self, work: Work) -> asyncio.TimerHandle:
        left_s = self._host.supply.start_timeout_s  # a warm-up's
        if work.deadline_ns is not None:
            left_s = (work.deadline_ns - self._clock.monotonic_ns()) / 1e9
        patience_s = min(max(left_s, self._kill_after_s), _MAX_PATIENCE_S)
        why = f"it did not answer within {patience_s:.3g} s"
        return self._loop.call_later(patience_s, self._kill, why)

    def run(self, work: Work) -> Execution:
        """Have the worker compute, and wait for it; on any thread but the event loop's."""
        return asyncio.run_coroutine_threadsafe(self._compute(work), self._loop).result()

    async def close(self) -> None:
        """Wait for the work under way, then give the worker back, gently if it goes."""
        await self._retire()
        if self.is_busy:
            self._quiet.clear()
            try:
                await asyncio.wait_for(self._quiet.wait(), _CLOSE_TIMEOUT_S)
            except TimeoutError:
                if not self._source.ends_hangs:
                    _log.error("%s hangs; its worker is killed", self._id)
                    self._kill("it hangs")
        await self._source.close(_CLOSE_TIMEOUT_S)
        self._host.remove(self)

    async def end(self, why: str) -> None:
        """See ``HostedInstance.end``."""
        await self._retire()
        await self._source.close(0.0, why)
        self._host.remove(self)

    async def _retire(self) -> None:
        """From now on it takes no work, and no worker comes after this one."""
        self._is_closed = True
        self._is_up = False
        if self._revival is not None:
            self._revival.cancel()
            await asyncio.gather(self._revival, return_exceptions=True)

    def overdue(self) -> str:
        """Never: where nobody else ends hangs, each batch has a timer of its own."""
        return ""

    def connected(self, channel: FromWorker) -> None:
        """See ``WorkerOwner.connected``."""
        self._link = WorkerLink(self._id, self._host, channel)

    def take(self, message: ToServer, body: memoryview) -> None:
        """See ``WorkerOwner.take``."""
        if self._link is None:
            raise BadFrame(f"a {type(message).__name__} of a worker without a model")
        self._link.take(message, body)

    def up(self, loaded: Loaded) -> None:
        """See ``WorkerOwner.up``: warm the new worker up before it gets work."""
        del loaded  # as the first one's
        name = f"penstock warm-up {self._id}"
        self._revival = self._loop.create_task(self._warm_up(self._link), name=name)

    def lost(self) -> None:
        """The worker gets no more work, whatever becomes of it."""
        if self._is_up:
            self._is_up = False
            self._on_change()

    def ended(self, why: str, *, is_counted: bool = True) -> None:
        """See ``WorkerOwner.ended``."""
        link, self._link = self._link, None
        self._is_up = False
        if not self._is_closed:
            self.deaths += is_counted
            self._on_change()
        if link is not None:
            link.end(why, has_begun=self._source.has_begun(link.sent))

    def faulted(self, fault: NotReady) -> None:
        """See ``WorkerOwner.faulted``."""
        self._fault = fault
        self._on_change()

    async def _warm_up(self, link: WorkerLink | None) -> None:
        """Have a new worker compute what it was warmed up with at first; then it is ready."""
        for inputs in self._examples:
            if link is None or self._link is not link:
                return
            result = (await self._compute(Work(inputs, {}))).result
            if isinstance(result, PenstockError):
                if self._link is link:
                    self._kill(f"its warm-up failed: {result.message}")
                return
        if link is not None and self._link is link:
            self._fault = None
            self._is_up = True
            self._on_change()

    async def _compute(self, work: Work) -> Execution:
        done: asyncio.Future[Execution] = self._loop.create_future()

        def tell(execution: Execution) -> None:
            if not done.done():  # a revival that was called off waits no more
                done.set_result(execution)

        self.submit(work, tell)
        return await done

    def _done(self, execution: Execution) -> None:
        if self._hang_timer is not None:
            self._hang_timer.cancel()
        if not isinstance(execution.result, ModelCrashed) and self._is_up:
            self._source.answered()
        if isinstance(execution.result, PenstockError):
            report(self._id, execution.result)
        self._quiet.set()
        on_done, self._on_done = self._on_done, None
        if on_done is not None:
            on_done(execution)

    def _kill(self, why: str) -> None:
        """End the worker; from now on it gets no more work."""
        self.lost()
        self._source.kill(why)


def _nothing() -> None:
    """For a copy nobody watches yet."""
