"""ModelLoader: an artifact becomes a Scheduler with warm instances. A ``core.Loader``."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from penstock.app.copies import Copies
from penstock.app.manifest_advice import advise
from penstock.app.memory_book import MemoryBook, MemoryUse
from penstock.app.memory_meter import MemoryMeter, give_back_free_memory
from penstock.app.warm_copies import Surroundings, warm_copies
from penstock.core.clock import Clock, SystemClock
from penstock.core.daemon_thread import on_daemon_thread
from penstock.core.errors import ConfigError, LoadFailed
from penstock.core.model import ModelClient
from penstock.core.resources import ResourceEstimate
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.executable import declared_bytes
from penstock.runtime.runtime import find_runtime
from penstock.scheduler.model_info import ModelInfo
from penstock.scheduler.scheduler import Scheduler
from penstock.telemetry.registry import StatsRegistry

if TYPE_CHECKING:
    from penstock.runtime.process.worker_host import WorkerHost


class _Loaded(NamedTuple):
    """What a load made.

    Attributes:
        info: of the version.
        copies: of the model, warm.
        learnt: how large they turned out to be; None: it cannot be told.
    """

    info: ModelInfo
    copies: Copies
    learnt: MemoryUse | None


class ModelLoader:
    """Loads one version: runtime, instances, warm-up, scheduler.

    Args:
        artifact: what is loaded.
        client: how its model may call others.
        stats: where its numbers are kept while it is loaded.
        clock: the time; None: the machine's.
        book: what is known of the sizes of versions; None: nothing is.
        meter: measures loads; None: one of its own.
        workers: what worker processes share, made when the first is started; None: there are none.
    """

    def __init__(
        self,
        artifact: ArtifactRef,
        *,
        client: ModelClient,
        stats: StatsRegistry,
        clock: Clock | None = None,
        book: MemoryBook | None = None,
        meter: MemoryMeter | None = None,
        workers: Callable[[], WorkerHost] | None = None,
    ) -> None:
        self._artifact = artifact
        self._client = client
        self._stats = stats
        self._clock = clock or SystemClock()
        self._book = book or MemoryBook()
        self._meter = meter or MemoryMeter()
        self._workers = workers
        self._scheduler: Scheduler | None = None

    def estimate(self) -> ResourceEstimate:
        """What it took when it was last loaded; before, its size on disk for each instance."""
        return self._book.estimate(self._artifact)

    async def load(self) -> Scheduler:
        """Load and warm up every instance on a thread of this load's own; see ``core.Loader``.

        A load that hangs keeps no process alive. What one made that was cancelled is closed as
        soon as it is there, and no further copy of it is begun.
        """
        try:
            return await self._load()
        except LoadFailed as err:
            advised = advise(self._artifact, err)
            if advised is None:
                raise
            raise advised from err

    async def _load(self) -> Scheduler:
        started_ns = self._clock.monotonic_ns()
        loop = asyncio.get_running_loop()
        async with self._book.turn(self._artifact.runtime):
            is_off = threading.Event()
            try:
                loaded = await on_daemon_thread(
                    lambda: self._load_measured(loop, is_off),
                    f"penstock-load-{self._artifact.id.name}",
                    drop=lambda unwanted: unwanted.copies.close(),
                )
            except asyncio.CancelledError:
                is_off.set()
                raise
            self._book.learn(self._artifact, loaded.learnt)
        try:
            scheduler = Scheduler(
                loaded.info, loaded.copies.instances, loop=loop, clock=self._clock
            )
        except ConfigError as err:
            for instance in loaded.copies.instances:
                await instance.close()
            raise LoadFailed(f"{self._artifact.id}: {err.message}") from err
        use = self._book.use_of(self._artifact)
        scheduler.stats.memory_bytes, scheduler.stats.memory_source = use
        scheduler.stats.load_s = (self._clock.monotonic_ns() - started_ns) / 1e9
        self._stats.add(scheduler.stats)
        self._scheduler = scheduler
        return scheduler

    async def unload(self) -> None:
        """Close the instances, forget the numbers and give the memory back to the system."""
        scheduler, self._scheduler = self._scheduler, None
        if scheduler is not None:
            self._stats.remove(scheduler.stats)
            with self._meter.changing():
                await scheduler.close()
                await on_daemon_thread(give_back_free_memory, "penstock-trim")

    def _load_measured(self, loop: asyncio.AbstractEventLoop, is_off: threading.Event) -> _Loaded:
        """Load, and tell how large it is. A framework's own memory counts for no model."""
        is_here = self._artifact.manifest.instances.kind == "thread"
        if is_here:
            find_runtime(self._artifact.runtime)
        with self._meter.measuring() as measurement:
            around = Surroundings(self._client, self._workers, loop, self._clock)
            info, copies = warm_copies(self._artifact, around, is_off)
        declared = [declared_bytes(instance) for instance in copies.instances]
        known = [num_bytes for num_bytes in declared if num_bytes is not None]
        if len(known) == len(declared):
            return _Loaded(info, copies, MemoryUse(sum(known), "declared"))
        if measurement.grown_bytes is None or not is_here:
            return _Loaded(info, copies, None)
        return _Loaded(info, copies, MemoryUse(measurement.grown_bytes, "measured"))
