"""Loading: brings versions up and takes them down, within the memory there is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from penstock.core.clock import Clock
from penstock.core.errors import PenstockError
from penstock.core.resources import ResourceEstimate
from penstock.core.status import VersionState
from penstock.lifecycle.eviction_policy import Verdict
from penstock.lifecycle.harness import LoaderHarness
from penstock.lifecycle.reservations import Reservations
from penstock.lifecycle.room import Room
from penstock.lifecycle.stream import Stream
from penstock.lifecycle.tasks import Tasks

_log: Final = logging.getLogger("penstock.lifecycle")


class Loading:
    """Does what a transition policy said, each in a task of its own.

    Attributes:
        tasks: the loads and unloads under way.
        reservations: who was promised and who holds how much.
        room: who goes when another needs the memory.
        is_short: whether some load has waited for room since this was last set to False.

    Args:
        streams: every model there is.
        reservations: the memory there is.
        clock: for the durations in the log, and to know what has only just come.
        min_loaded_s: see ``Room``.
        after: called with the names of the models to look at, after each load and unload.

    Concurrency: the event loop's thread only; never blocks.
    """

    def __init__(
        self,
        streams: Mapping[str, Stream],
        reservations: Reservations,
        clock: Clock,
        min_loaded_s: float,
        after: Callable[[Iterable[str]], None],
    ) -> None:
        self.tasks = Tasks()
        self.reservations = reservations
        self.room = Room(reservations, clock, min_loaded_s)
        self.is_short = False
        self._streams = streams
        self._clock = clock
        self._after = after

    def start_load(self, stream: Stream, harness: LoaderHarness) -> Sequence[str]:
        """Begin to load a version; without room for it make some, or fail it.

        Returns:
            the models to look at, because they have to make room.
        """
        try:
            estimate = harness.estimate()
        except PenstockError as error:
            harness.refuse(error)
            return ()
        estimate = self.room.want(self._streams, stream, harness, estimate)
        if not self.room.is_there(self._streams, stream, harness, estimate):
            return self._make_room(stream, harness, estimate)
        self.reservations.reserve(harness.serial, estimate)
        harness.start_load()
        self.tasks.spawn(self._bring_up(stream, harness), f"load {harness.id}")
        return ()

    def start_unload(self, stream: Stream, harness: LoaderHarness) -> None:
        """Begin to unload a version; it goes when its leases are back."""
        harness.start_unload()
        self.tasks.spawn(self._take_down(stream, harness), f"unload {harness.id}")

    def may_retry(self, stream: Stream, harness: LoaderHarness, shortage: ResourceEstimate) -> bool:
        """Whether a version that failed for want of so much may have it now.

        One that is loaded on demand is not tried again before somebody asks for it.
        """
        if stream.yields and not stream.num_waiting:
            return False
        return self.room.could_be(self._streams, stream, harness, shortage)

    def _make_room(
        self, stream: Stream, harness: LoaderHarness, estimate: ResourceEstimate
    ) -> Sequence[str]:
        plan = self.room.make(self._streams, stream, harness, estimate)
        if plan.verdict is Verdict.HOPELESS:
            harness.refuse(self.reservations.refusal(harness.id, estimate))
            harness.shortage = estimate
        else:
            self.is_short = True
        return plan.evict

    async def _bring_up(self, stream: Stream, harness: LoaderHarness) -> None:
        started_ns = self._clock.monotonic_ns()
        try:
            await harness.load()
        finally:
            if harness.state is not VersionState.READY:
                self.reservations.release(harness.serial)
        evicted: Sequence[str] = ()
        if harness.state is VersionState.READY:
            ready_ns = harness.ready_since_ns = self._clock.monotonic_ns()
            _log.info("loaded %s in %.3f s", harness.id, (ready_ns - started_ns) / 1e9)
            self.reservations.hold(harness.serial, harness.size())
            evicted = self.room.trim(self._streams, stream)
        self._after([stream.name, *evicted])

    async def _take_down(self, stream: Stream, harness: LoaderHarness) -> None:
        try:
            await harness.unload()
        finally:
            self.reservations.release(harness.serial)
        _log.info("unloaded %s", harness.id)
        self._after([stream.name])
