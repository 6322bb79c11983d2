"""Manager: owns every loaded version, and makes what is what should be."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
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
from penstock.lifecycle.loading import Loading
from penstock.lifecycle.reservations import Reservations
from penstock.lifecycle.stream import Stream, nearest_name
from penstock.lifecycle.tasks import has_running_loop
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
        memory_budget_bytes: the most that all loaded versions may hold; 0: what is available.
        min_loaded_s: how long a model that is loaded on demand stays, at least, when another one
            needs its room.
    """

    max_concurrent_loads: int = 2
    load: LoadOptions = msgspec.field(default_factory=LoadOptions)
    transition_policy: TransitionPolicy = availability_preserving
    close_grace_s: float = 1.0
    memory_budget_bytes: int = 0
    min_loaded_s: float = 1.0

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
        self._loading = Loading(
            self._streams,
            Reservations(available, options.memory_budget_bytes),
            clock,
            options.min_loaded_s,
            self._after,
        )
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

    def demand(self, name: str, *, is_urgent: bool = False) -> Stream | None:
        """Want a model that is loaded on demand in memory, for one who waits for it.

        Args:
            name: the model's name.
            is_urgent: whether others must make room though they have only just come.

        Returns:
            its books, where what comes of it is read and awaited; to be paid back with
            ``forgo``; None: there is no such model, or it is not loaded on demand.
        """
        stream = self._streams.get(name)
        if stream is None or not stream.is_on_demand:
            return None
        stream.num_waiting += 1
        stream.is_demanded = True
        stream.is_urgent |= is_urgent
        self._settle([name])
        return stream

    def forgo(self, stream: Stream) -> None:
        """One who waited does so no longer, whatever came of it."""
        stream.num_waiting -= 1
        if stream.forgo():
            self._settle([stream.name])

    def look_again(self) -> None:
        """Try again what waits for room, in order of age, until one has to go on waiting.

        So a large model is not starved by small ones that come after it, and a look costs little
        however many wait. What is loaded always, or by hand, goes before what is on demand.
        """
        self._loading.is_short = False
        starving = [one for one in self._streams.values() if one.is_starving]
        starving.sort(key=lambda one: (one.yields, min(each.serial for each in one.harnesses)))
        for stream in starving:
            stream.look_again()
            self._settle([stream.name])
            if stream.is_held_up:
                return

    def step(self) -> None:
        """Bring what is nearer to what should be; needed only after telling without a loop."""
        self._has_stepped = self._was_told and has_running_loop()
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
                if stream.is_demanded:
                    stream.last_used_ns = self._clock.monotonic_ns()
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

    @property
    def held_bytes(self) -> int:
        """What all loaded versions hold in memory, as far as that is known."""
        return self._loading.reservations.held_bytes

    @property
    def num_evictions(self) -> int:
        """Models that were unloaded so far to make room for others."""
        return self._loading.room.num_evictions

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
        if not await self._loading.tasks.wait_idle(timeout_s):
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
        has_loop = has_running_loop()
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
        stream.tell_progress()

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
                harness.may_retry = self._loading.may_retry(stream, harness, harness.shortage)
        action = self._options.transition_policy(stream.snapshot())
        if action is None:
            return False
        harness = next(one for one in stream.harnesses if one.serial == action.serial)
        if action.act is Act.UNLOAD:
            self._loading.start_unload(stream, harness)
        else:
            self._dirty.update(dict.fromkeys(self._loading.start_load(stream, harness)))
        return True

    def _after(self, names: Iterable[str]) -> None:
        """Something came up or went down: look again, also at those that had no room."""
        self._settle(names)
        self.look_again()

    async def _close_by_force(self) -> None:
        for stream in self._streams.values():
            for harness in stream.harnesses:
                harness.leases.revoke()
        if not await self._loading.tasks.wait_idle(self._options.close_grace_s):
            await self._loading.tasks.cancel_all()

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
        harness = LoaderHarness(aspired, next(self._serials), self._context)
        if self._streams[aspired.id.name].is_on_demand:
            harness.leases.on_idle = self._on_idle
        return harness

    def _on_idle(self) -> None:
        """The last request of a model has ended: one that waits for room may have it now."""
        if self._loading.is_short:
            self._loading.is_short = False
            asyncio.get_running_loop().call_soon(self.look_again)

    def _changed(self, harness: LoaderHarness) -> None:
        """Called by a harness after each change of its state."""
        stream = self._streams[harness.id.name]
        stream.index()
        is_failure = harness.state is VersionState.FAILED and harness.is_aspired
        if is_failure and not harness.of_model:
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
