"""Room: makes room for loads by letting models go that are loaded again on demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from penstock.core.byte_size import show_bytes
from penstock.core.clock import Clock
from penstock.core.resources import ResourceEstimate
from penstock.core.status import VersionState
from penstock.lifecycle.eviction_policy import Plan, Resident, Verdict, plan_evictions
from penstock.lifecycle.harness import LoaderHarness
from penstock.lifecycle.reservations import Reservations
from penstock.lifecycle.stream import Stream

_GOING: Final = (VersionState.UNLOADING, VersionState.UNLOADED)

Streams = Mapping[str, Stream]


class Room:
    """Takes snapshots for the eviction policy and does what its plans say.

    What it evicts is marked as wanted no longer; the Manager's next step unloads it.

    Attributes:
        num_evictions: models that went because others needed their room.

    Args:
        reservations: who was promised and who holds what.
        clock: the time.
        min_loaded_s: how long a model stays at least, once it is loaded, before another that is
            loaded on demand may take its place.

    Concurrency: the event loop's thread only; never blocks.
    """

    def __init__(self, reservations: Reservations, clock: Clock, min_loaded_s: float) -> None:
        self._reservations = reservations
        self._clock = clock
        self._min_loaded_s = min_loaded_s
        self.num_evictions = 0

    def want(
        self, streams: Streams, stream: Stream, harness: LoaderHarness, estimate: ResourceEstimate
    ) -> ResourceEstimate:
        """What to ask for: the estimate, without guesses that nobody could ever make room for.

        Where even what is known of the version itself cannot be had, the guesses at others are
        given up first, so that a version is refused for what is known alone.
        """
        lacking_bytes = self._lacking_bytes(streams, stream, harness, estimate)
        if lacking_bytes > estimate.guessed_bytes:
            self._reservations.forget_guesses()
            lacking_bytes = self._lacking_bytes(streams, stream, harness, estimate)
        return estimate.cut(lacking_bytes)

    def is_there(
        self, streams: Streams, stream: Stream, harness: LoaderHarness, estimate: ResourceEstimate
    ) -> bool:
        """Whether so much is free, and not being made free for one who has waited longer."""
        claimed_bytes = _claimed_bytes(streams, stream, harness)
        with_claims = ResourceEstimate(estimate.ram_bytes + claimed_bytes)
        return self._reservations.fits(with_claims if claimed_bytes else estimate)

    def make(
        self, streams: Streams, stream: Stream, harness: LoaderHarness, estimate: ResourceEstimate
    ) -> Plan:
        """Let go what must go for a load that does not fit.

        A version that should always be loaded, or that an operator has loaded by hand, waits for
        nobody's minimum time.

        Returns:
            the plan. ENOUGH: the streams it names are to be stepped, and the room is claimed.
            Unless it is HOPELESS, the version waits to be asked for again.
        """
        plan = self._plan(streams, stream, self._missing_bytes(streams, stream, harness, estimate))
        if plan.verdict is not Verdict.HOPELESS:
            claimed_bytes = estimate.ram_bytes if plan.verdict is Verdict.ENOUGH else 0
            harness.await_room(self._why(estimate, plan), claimed_bytes, plan.look_again_ns)
        self._evict(streams, plan)
        return plan

    def trim(self, streams: Streams, stream: Stream) -> Sequence[str]:
        """Let go what is beyond the budget, now that ``stream`` turned out larger than thought.

        Returns:
            the streams to be stepped; none: all is well, or nothing can be done about it now.
        """
        excess_bytes = self._reservations.excess_bytes
        if excess_bytes <= 0:
            return ()
        plan = self._plan(streams, stream, excess_bytes)
        self._evict(streams, plan)
        return plan.evict

    def could_be(
        self, streams: Streams, stream: Stream, harness: LoaderHarness, estimate: ResourceEstimate
    ) -> bool:
        """Whether there is room for that much, or could be made."""
        missing_bytes = self._missing_bytes(streams, stream, harness, estimate)
        return self._plan(streams, stream, missing_bytes).verdict is not Verdict.HOPELESS

    def _plan(self, streams: Streams, stream: Stream, missing_bytes: int) -> Plan:
        """What there is to do for so much, beside what is on its way out already."""
        residents, going_bytes = self._others(streams, stream)
        return plan_evictions(
            residents,
            missing_bytes - going_bytes,
            self._clock.monotonic_ns(),
            round(self._min_loaded_s * 1e9) if stream.yields else 0,
        )

    def _others(self, streams: Streams, stream: Stream) -> tuple[list[Resident], int]:
        """Who beside ``stream`` could go, and the bytes of those that are on their way out."""
        others = [one for one in streams.values() if one.harnesses and one is not stream]
        on_demand = [one for one in others if one.is_on_demand]
        going_bytes = sum(
            self._reservations.of(one.serial)
            for other in on_demand
            for one in other.harnesses
            if not other.is_demanded or not one.is_aspired or one.state in _GOING
        )
        return [self._resident(one) for one in on_demand if one.is_demanded], going_bytes

    def _lacking_bytes(
        self, streams: Streams, stream: Stream, harness: LoaderHarness, estimate: ResourceEstimate
    ) -> int:
        """What would be missing even without all who could go; <= 0: nothing would."""
        missing_bytes = self._missing_bytes(streams, stream, harness, estimate)
        if missing_bytes <= 0 or not estimate.ram_bytes:
            return 0
        residents, going_bytes = self._others(streams, stream)
        return missing_bytes - going_bytes - sum(one.num_bytes for one in residents)

    def _missing_bytes(
        self, streams: Streams, stream: Stream, harness: LoaderHarness, estimate: ResourceEstimate
    ) -> int:
        claimed_bytes = _claimed_bytes(streams, stream, harness)
        return self._reservations.missing_bytes(estimate) + claimed_bytes

    def _resident(self, stream: Stream) -> Resident:
        staying = [one for one in stream.harnesses if one.is_aspired]
        is_coming = any(
            one.state is VersionState.LOADING or one.awaits_room for one in stream.harnesses
        )
        ready_since_ns = max((one.ready_since_ns for one in staying), default=0)
        return Resident(
            stream.name,
            sum(self._reservations.of(one.serial) + one.claimed_bytes for one in staying),
            max(stream.last_used_ns, ready_since_ns),
            ready_since_ns,
            stream.num_waiting + sum(one.leases.count for one in stream.harnesses) + is_coming,
        )

    def _evict(self, streams: Streams, plan: Plan) -> None:
        for name in plan.evict:
            streams[name].evict()
        self.num_evictions += len(plan.evict)

    def _why(self, estimate: ResourceEstimate, plan: Plan) -> str:
        """Why a load waits, for people."""
        text = f"it needs {show_bytes(estimate.ram_bytes, round_up=True)} of memory"
        if plan.verdict is Verdict.ENOUGH:
            return f"{text}: others are being unloaded to make room"
        return (
            f"{text}, which other models hold ({plan.num_busy} in use, {plan.num_young} loaded "
            f"less than {self._min_loaded_s:g} s ago)"
        )


def _claimed_bytes(streams: Streams, stream: Stream, harness: LoaderHarness) -> int:
    """The room that is being made for those who have waited longer; nobody outranks the urgent."""
    if not stream.yields:
        return 0
    return sum(
        one.claimed_bytes
        for other in streams.values()
        for one in other.harnesses
        if one.serial < harness.serial
    )
