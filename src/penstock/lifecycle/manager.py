"""Manager: owns every loaded version, and makes what is what should be."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Final

import msgspec

from penstock.core.clock import Clock
from penstock.core.errors import ConfigError, NotFound, NotReady, PenstockError
from penstock.core.ids import LATEST, VersionChoice
from penstock.core.resources import ResourceEstimate
from penstock.core.servable import Servable
from penstock.core.source import AspiredModel, AspiredVersion
from penstock.core.status import VersionState, VersionStatus
from penstock.lifecycle.handle import ServableHandle
from penstock.lifecycle.harness import HarnessContext, LoaderHarness, LoadOptions
from penstock.lifecycle.reservations import Reservations
from penstock.lifecycle.stream import Stream, nearest_name
from penstock.lifecycle.transition_policy import Act, TransitionPolicy, availability_preserving

_log: Final = logging.getLogger("penstock.lifecycle")


class ManagerOptions(msgspec.Struct, frozen=True):
    """How a Manager works.

    Attributes:
        max_concurrent_loads: loads that run at once, >= 1; a wait between attempts counts not.
        load: how often one load is tried.
        transition_policy: in which order versions come and go.
        close_grace_s: seconds that ``aclose`` gives loads and unloads that still run when its
            own time is over, before it cancels them.
    """

    max_concurrent_loads: int = 2
    load: LoadOptions = msgspec.field(default_factory=LoadOptions)
    transition_policy: TransitionPolicy = availability_preserving
    close_grace_s: float = 1.0

    def __post_init__(self) -> None:
        if self.max_concurrent_loads < 1:
            raise ConfigError(
                f"max_concurrent_loads: expected at least 1, got {self.max_concurrent_loads}"
            )


class Manager:
    """Target of the aspired models, and lender of the servables.

    It works by level: each ``set_aspired`` is the whole truth, and each change of anything leads
    to another look at what differs from it. The order of things is the transition policy's.

    Law: no version that is ready and aspired is unloaded; no version is unloaded while a lease
    on it is out (``aclose`` alone gives up waiting); ``handle`` lends ready versions only, and
    always finds one where an aspired one is ready. Load and unload run once per loader, never
    at the same time.

    Args:
        options: how it works.
        clock: for the durations in the log.
        available: what is free on the machine now; asked before each load.
        on_change: told after each change of a version's state, on the loop's thread; must be
            quick; what it raises is logged; None: nobody is told.
        sleep: waits so many seconds between two attempts to load.

    Concurrency: the event loop's thread only. The constructor starts nothing.
    """

    def __init__(
        self,
        *,
        options: ManagerOptions,
        clock: Clock,
        available: Callable[[], ResourceEstimate],
        on_change: Callable[[VersionStatus], None] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._options = options
        self._clock = clock
        self._on_change = on_change
        self._context = HarnessContext(
            options.load, asyncio.Semaphore(options.max_concurrent_loads), sleep, self._changed
        )
        self._streams: dict[str, Stream] = {}
        self._serials = itertools.count(1)
        self._reservations = Reservations(available)
        self._tasks: set[asyncio.Task[None]] = set()
        self._dirty: dict[str, None] = {}
        self._is_stepping = False
        self._was_told = False
        self._has_stepped = False
        self._is_closing = False
        self._step_done = asyncio.Event()

    # What should be

    def set_aspired(self, models: Sequence[AspiredModel]) -> None:
        """Take these models as the whole truth; a model not named is wanted no more.

        A version is told from others by its number and its revision: what is there already stays
        as it is, whichever loader object comes with it. One loader object serves one version of
        one revision. Without a running loop nothing is started until ``step``.
        """
        if self._is_closing:
            return
        wanted = {model.name: model for model in models}
        for name in wanted:
            if name not in self._streams:
                self._streams[name] = Stream(name, self._make_harness)
        for name, stream in self._streams.items():
            stream.aspired = wanted.get(name)
        self._was_told = True
        self.step()

    def retry_failed(self, name: str) -> None:
        """Try the aspired versions of this model that have FAILED once more."""
        if (stream := self._streams.get(name)) is not None:
            for failed in stream.retryable():
                failed.may_retry = True
            self._settle([name])

    def step(self) -> None:
        """Bring what is nearer to what should be; needed only after telling without a loop."""
        self._has_stepped = self._was_told and _has_running_loop()
        self._settle(self._streams)

    # What is

    def handle(self, name: str, choice: VersionChoice = LATEST) -> ServableHandle:
        """Lend the version that is meant; it stays loaded until the handle is released.

        Args:
            name: the model's name.
            choice: a number, a label, or the largest version number that is ready.

        Raises:
            NotFound: no such model, version or label.
            NotReady: it is known, but does not serve now.
        """
        stream = self._streams.get(name)
        if stream is not None:
            harness = stream.find(choice)
            if harness is not None and harness.servable is not None:
                return ServableHandle(harness.id, harness.servable, harness.leases)
        raise self._why_not(name, choice)

    def servable(self, name: str, choice: VersionChoice = LATEST) -> Servable:
        """Peek at the version that is meant, without a lease: for metadata, not for requests.

        Raises:
            NotFound, NotReady: as ``handle``.
        """
        with self.handle(name, choice) as handle:
            return handle.servable

    def ready_versions(self, name: str) -> list[int]:
        """The version numbers of this model that answer, ascending; none of an unknown model."""
        stream = self._streams.get(name)
        return stream.ready_versions() if stream is not None else []

    def statuses(self, name: str | None = None) -> list[VersionStatus]:
        """Every version of this model (None: of all), by name and number, one status each.

        While a version is replaced by another revision, the status is the one that serves, and
        its reason is why the replacement does not (yet).
        """
        names = sorted(self._streams) if name is None else [name]
        return [
            status
            for one in names
            if (stream := self._streams.get(one)) is not None
            for status in stream.statuses()
        ]

    def failures(self, name: str) -> list[VersionStatus]:
        """The aspired versions of this model whose attempts are exhausted, with their reasons."""
        stream = self._streams.get(name)
        return stream.failures() if stream is not None else []

    def is_ready(self) -> bool:
        """Whether a Source has spoken and every model that should serve has a version that does."""
        return (
            self._has_stepped
            and not self._is_closing
            and all(stream.is_ready() for stream in self._streams.values())
        )

    async def wait_loaded(self, names: Iterable[str] | None = None) -> None:
        """Wait until every aspired version of these models (None: of all) is READY or FAILED."""
        await self._wait_for(names, Stream.is_loaded)

    async def wait_settled(self, names: Iterable[str] | None = None) -> None:
        """As ``wait_loaded``, and until nothing of these models is left to be unloaded."""
        await self._wait_for(names, Stream.is_settled)

    async def aclose(self, timeout_s: float) -> None:
        """Stop taking, and unload everything as its leases are returned.

        After ``timeout_s`` seconds leases are waited for no longer; after another
        ``close_grace_s`` loads and unloads that still run are cancelled. Ends with no task left.
        """
        self._is_closing = True
        for stream in self._streams.values():
            stream.aspired = None
        self.step()
        if not await self._wait_idle(timeout_s):
            await self._close_by_force()
        self._streams.clear()
        self._settle(())

    # How it gets there

    def _settle(self, names: Iterable[str]) -> None:
        """Step these models until nothing more can be started."""
        self._dirty.update(dict.fromkeys(names))
        if self._is_stepping:
            return  # an observer called back: the loop below takes it up
        self._is_stepping = True
        try:
            while self._dirty:
                name = next(iter(self._dirty))
                del self._dirty[name]
                if (stream := self._streams.get(name)) is not None:
                    self._step_stream(stream)
        finally:
            self._is_stepping = False
        done, self._step_done = self._step_done, asyncio.Event()
        done.set()

    def _step_stream(self, stream: Stream) -> None:
        """Do one thing, look again, until the policy is content."""
        has_loop = _has_running_loop()
        while True:
            stream.sync()
            if not has_loop:
                return
            if not self._refuse_hopeless(stream) and not self._act(stream):
                break
        for label, number in stream.newly_lost_labels().items():
            text = (
                "'%s': label '%s' points at version %d, which does not serve; versions that do: %s"
            )
            serving = ", ".join(map(str, stream.ready_versions()))
            _log.warning(text, stream.name, label, number, serving)
        if stream.is_gone:
            del self._streams[stream.name]

    def _refuse_hopeless(self, stream: Stream) -> bool:
        """Fail a version that came as an error, if there is one; whether there was."""
        for harness in stream.harnesses:
            if harness.state is VersionState.NEW and harness.error is not None:
                harness.refuse(harness.error)
                return True
        return False

    def _act(self, stream: Stream) -> bool:
        """Do what the policy says next; whether there was anything."""
        for harness in stream.harnesses:
            if harness.shortage is not None:
                harness.may_retry = self._reservations.fits(harness.shortage)
        action = self._options.transition_policy(stream.snapshot())
        if action is None:
            return False
        harness = next(one for one in stream.harnesses if one.serial == action.serial)
        if action.act is Act.UNLOAD:
            harness.start_unload()
            self._spawn(self._take_down(stream, harness), f"unload {harness.id}")
        else:
            self._start_load(stream, harness)
        return True

    def _start_load(self, stream: Stream, harness: LoaderHarness) -> None:
        try:
            estimate = harness.estimate()
        except PenstockError as error:
            harness.refuse(error)
            return
        if not self._reservations.fits(estimate):
            harness.refuse(self._reservations.refusal(harness.id, estimate))
            harness.shortage = estimate
            return
        self._reservations.reserve(harness.serial, estimate)
        harness.start_load()
        self._spawn(self._bring_up(stream, harness), f"load {harness.id}")

    async def _bring_up(self, stream: Stream, harness: LoaderHarness) -> None:
        started_ns = self._clock.monotonic_ns()
        try:
            await harness.load()
        finally:
            self._reservations.release(harness.serial)
        if harness.state is VersionState.READY:
            duration_s = (self._clock.monotonic_ns() - started_ns) / 1e9
            _log.info("loaded %s in %.3f s", harness.id, duration_s)
        self._after(stream)

    async def _take_down(self, stream: Stream, harness: LoaderHarness) -> None:
        await harness.unload()
        _log.info("unloaded %s", harness.id)
        self._after(stream)

    def _after(self, stream: Stream) -> None:
        """Something came up or went down: look again, also at those that had no room."""
        starved = [
            name
            for name, one in self._streams.items()
            if any(harness.shortage is not None for harness in one.harnesses)
        ]
        self._settle([stream.name, *starved])

    def _spawn(self, work: Coroutine[object, object, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._reap)

    def _reap(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("task '%s' broke", task.get_name(), exc_info=error)

    async def _close_by_force(self) -> None:
        for stream in self._streams.values():
            for harness in stream.harnesses:
                harness.leases.revoke()
        if not await self._wait_idle(self._options.close_grace_s):
            _log.error("cancelled at the end: %s", [task.get_name() for task in self._tasks])
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _wait_idle(self, timeout_s: float) -> bool:
        """Wait until no task is left; False when the time was over first."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._tasks:
                    await asyncio.wait(self._tasks)
        except TimeoutError:
            return False
        return True

    async def _wait_for(
        self, names: Iterable[str] | None, is_done: Callable[[Stream], bool]
    ) -> None:
        chosen = None if names is None else frozenset(names)
        if not self._has_stepped:
            self.step()
        while not all(
            is_done(stream)
            for name, stream in self._streams.items()
            if chosen is None or name in chosen
        ):
            await self._step_done.wait()

    def _make_harness(self, aspired: AspiredVersion) -> LoaderHarness:
        return LoaderHarness(aspired, next(self._serials), self._context)

    def _changed(self, harness: LoaderHarness) -> None:
        """Called by a harness after each change of its state."""
        stream = self._streams[harness.id.name]
        stream.index()
        if harness.state is VersionState.FAILED and harness.is_aspired:
            text = harness.id.says(harness.reason)
            _log.error("failed to load: %s", text, exc_info=harness.culprit)
        if self._on_change is not None:
            self._on_change(stream.status(harness))

    def _why_not(self, name: str, choice: VersionChoice) -> PenstockError:
        if self._is_closing:
            return NotReady("the server is shutting down")
        stream = self._streams.get(name)
        if stream is None:
            near = nearest_name(name, self._streams)
            return NotFound(f"Request for unknown model: '{name}' is not found{near}")
        return stream.why_not(choice)


def _has_running_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
