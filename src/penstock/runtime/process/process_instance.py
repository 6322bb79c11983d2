"""ProcessInstance: a copy of a model in a process of its own, kept alive.

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
from penstock.runtime.model_fault import log_fields, report
from penstock.runtime.process.frame import Loaded
from penstock.runtime.process.resident import resident_bytes
from penstock.runtime.process.restart_policy import next_restart
from penstock.runtime.process.worker_host import WorkerHost
from penstock.runtime.process.worker_link import WorkerLink
from penstock.runtime.process.worker_options import WorkerOptions

_log = logging.getLogger("penstock.runtime")

_CLOSE_TIMEOUT_S = 10.0
_PING_INTERVAL_S = 5.0
_PING_TIMEOUT_S = 10.0
_LOOK_INTERVAL_S = 0.5
_MAX_PATIENCE_S = 366 * 24 * 3600.0


class ProcessInstance:
    """An ``Instance`` whose work is done by a worker process.

    Args:
        artifact: what the worker loads.
        options: how it is started and held to account.
        host: what all workers share.
        clock: where time comes from.

    Attributes:
        deaths: how often a worker of this copy has died, in all.

    Concurrency: the event loop's thread, but for ``run``.
    """

    can_inline = False

    def __init__(
        self,
        artifact: ArtifactRef,
        options: WorkerOptions,
        host: WorkerHost,
        clock: Clock | None = None,
    ) -> None:
        self.deaths = 0
        self._artifact = artifact
        self._id = artifact.id
        self._options = options
        self._host = host
        self._clock = clock or SystemClock()
        self._loop = asyncio.get_running_loop()
        self._link: WorkerLink | None = None
        self._examples: Sequence[tuple[Tensor, ...]] = ()
        self._crashes_in_a_row = 0
        self._fault: NotReady | None = None
        self._is_up = False
        self._is_closed = False
        self._on_change: Callable[[], None] = _nothing
        self._on_done: Callable[[Execution], None] | None = None
        self._hang_timer: asyncio.TimerHandle | None = None
        self._revival: asyncio.Task[None] | None = None
        self._look: asyncio.Task[None] | None = None
        self._quiet = asyncio.Event()

    @property
    def is_ready(self) -> bool:
        """Whether its worker lives and has its model."""
        return self._is_up

    @property
    def fault(self) -> NotReady | None:
        """Why it is in quarantine; None: it is not."""
        return self._fault

    @property
    def memory_bytes(self) -> int | None:
        """What its worker holds in memory now; None: there is no worker."""
        return resident_bytes(self.pid) or None

    @property
    def pid(self) -> int:
        """The worker's process; 0: there is none now."""
        return 0 if self._link is None else self._link.process.pid

    def watch(self, on_change: Callable[[], None]) -> None:
        """See ``Instance.watch``."""
        self._on_change = on_change

    async def start(self) -> Loaded:
        """Start the worker and load the model.

        Raises:
            LoadFailed: it could not be started or could not load.
        """
        try:
            loaded = await self._start_worker()
        except BaseException:
            await self.close()
            raise
        self._is_up = True
        self._look = self._loop.create_task(self._look_after(), name=f"penstock look {self._id}")
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
        left_s = self._options.start_timeout_s  # a warm-up's
        if work.deadline_ns is not None:
            left_s = (work.deadline_ns - self._clock.monotonic_ns()) / 1e9
        patience_s = min(max(left_s, self._options.kill_after_s), _MAX_PATIENCE_S)
        self._hang_timer = self._loop.call_later(patience_s, self._give_up, patience_s)

    def run(self, work: Work) -> Execution:
        """Have the worker compute, and wait for it; on any thread but the event loop's."""
        return asyncio.run_coroutine_threadsafe(self._compute(work), self._loop).result()

    async def close(self) -> None:
        """Wait for the work under way, then end the worker, gently if it goes."""
        self._is_closed = True
        self._is_up = False
        tasks = [task for task in (self._revival, self._look) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        link = self._link
        if link is None:
            return
        if link.is_busy:
            self._quiet.clear()
            try:
                await asyncio.wait_for(self._quiet.wait(), _CLOSE_TIMEOUT_S)
            except TimeoutError:
                _log.error("%s hangs; its worker is killed", self._id)
        await link.close(_CLOSE_TIMEOUT_S if not link.is_busy else 0.0)

    async def _start_worker(self) -> Loaded:
        link = WorkerLink(
            self._artifact,
            self._options,
            self._host,
            on_end=lambda why: self._ended(link, why),
            on_lost=self._lost,
        )
        self._link = link
        try:
            loaded = await link.start()
        except LoadFailed:
            if not link.process.pid:  # there never was one, so none will end
                self._link = None
                self._crashes_in_a_row += 1
            raise
        self._check_alive()
        return loaded

    def _check_alive(self) -> None:
        limit_bytes = self._options.max_memory_bytes
        if limit_bytes and (used_bytes := resident_bytes(self.pid)) > limit_bytes:
            raise LoadFailed(
                f"{self._id}: its worker holds {used_bytes >> 20} MiB after loading the model, its "
                f"max_memory is {limit_bytes >> 20} MiB"
            )
        if self._link is None:
            raise LoadFailed(
                f"{self._id}: its worker died as soon as it had loaded the model", retryable=True
            )

    def _lost(self) -> None:
        """The worker gets no more work, whatever becomes of it."""
        if self._is_up:
            self._is_up = False
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
            self._crashes_in_a_row = 0
        if isinstance(execution.result, PenstockError):
            report(self._id, execution.result)
        self._quiet.set()
        on_done, self._on_done = self._on_done, None
        if on_done is not None:
            on_done(execution)

    def _give_up(self, patience_s: float) -> None:
        self._kill(f"it did not answer within {patience_s:.3g} s")

    def _kill(self, why: str) -> None:
        """End the worker; from now on it gets no more work."""
        if self._link is not None:
            self._lost()
            self._link.kill(why)

    def _ended(self, link: WorkerLink, why: str) -> None:
        """The worker is gone; what it computed is told after this."""
        if self._link is not link:
            return
        self._link = None
        self._is_up = False
        if self._is_closed:
            return
        self.deaths += 1
        self._crashes_in_a_row += 1
        _log.error("%s: its worker died: %s", self._id, why, extra=log_fields(self._id))
        if self._look is not None and (self._revival is None or self._revival.done()):
            self._revival = self._loop.create_task(
                self._revive(why), name=f"penstock revival {self._id}"
            )
        self._on_change()

    async def _revive(self, why: str) -> None:
        """Start workers until one is up; between them wait longer and longer."""
        while True:
            restart = next_restart(self._crashes_in_a_row, self._options.restart)
            if restart.is_quarantined:
                self._fault = self._quarantine(restart.delay_s, why)
                _log.error("%s", self._fault.message, extra=log_fields(self._id))
                self._on_change()
            await asyncio.sleep(restart.delay_s)
            try:
                await self._start_worker()
                await self._warm_up()
                self._check_alive()
            except Exception as err:  # noqa: BLE001  # whatever it is, the copy has to come back
                why = err.message if isinstance(err, PenstockError) else repr(err)
                if self._link is not None:
                    await self._link.close(_CLOSE_TIMEOUT_S)
                _log.warning("%s: a new worker: %s", self._id, why, extra=log_fields(self._id))
                continue
            self._fault = None
            self._is_up = True
            _log.info("%s: a new worker is ready", self._id, extra=log_fields(self._id))
            self._on_change()
            return

    async def _warm_up(self) -> None:
        for inputs in self._examples:
            execution = await self._compute(Work(inputs, {}))
            if isinstance(execution.result, PenstockError):
                raise execution.result

    def _quarantine(self, delay_s: float, why: str) -> NotReady:
        return NotReady(
            f"{self._id} is in quarantine: its worker died {self._crashes_in_a_row} times in a row "
            f"without answering once, last because {why}. It is tried again in {delay_s:g} s; load "
            "the model again to try it now",
            retry_after_s=delay_s,
        )

    async def _look_after(self) -> None:
        """Kill a worker that outgrows its memory, or that is idle and does not answer."""
        since_ping_s = 0.0
        while True:
            await asyncio.sleep(_LOOK_INTERVAL_S)
            link = self._link
            if link is None:
                continue
            limit_bytes = self._options.max_memory_bytes
            if limit_bytes and (used_bytes := resident_bytes(link.process.pid)) > limit_bytes:
                self._kill(
                    f"it used {used_bytes >> 20} MiB of memory, its max_memory is "
                    f"{limit_bytes >> 20} MiB"
                )
            since_ping_s += _LOOK_INTERVAL_S
            if since_ping_s >= _PING_INTERVAL_S and self._is_up and not link.is_busy:
                since_ping_s = 0.0
                if not await link.ping(_PING_TIMEOUT_S):
                    self._kill(f"it did not answer a ping within {_PING_TIMEOUT_S:g} s")


def _nothing() -> None:
    """For a copy nobody watches yet."""
