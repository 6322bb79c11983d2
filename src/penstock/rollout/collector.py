"""Collects what all processes have told of a model in one stage of its rollout."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from penstock.core.clock import Clock
from penstock.rollout.report import ProcessReport
from penstock.rollout.seen import Readiness, readiness
from penstock.rollout.state import Phase, RolloutState
from penstock.rollout.subjects import counts_subject, route_subject
from penstock.router.counts import StageCounts, add
from penstock.stores.control_store import Standing

PATIENCE_S = 3.0
"""So long a process may say that it cannot load a candidate without any request, in seconds: it may
not have seen yet what another process has."""

LIVE_S = 5.0
"""A process that has not said for so long that it lives, in seconds, is not asked for."""


class Reports(Protocol):
    """Where processes tell; a ControlStore."""

    async def published(self, subject: str) -> dict[str, bytes]:
        """What each process told last of a subject, those that are gone included."""
        ...

    async def standings(self, subject: str, live_s: float) -> Sequence[Standing]:
        """How far each live process has come with a subject."""
        ...


class Collected(NamedTuple):
    """What the processes know together.

    Attributes:
        counts: of the present stage; what the dead have counted included.
        readiness: of the two versions, in the processes that live.
    """

    counts: StageCounts
    readiness: Readiness


class Collector:
    """Collects for one rollout. What it remembers is which process had the candidate ready, and
    since when one cannot load it.

    Args:
        model: the model's name.
        store: where the processes tell.
        clock: where time comes from.
    """

    def __init__(self, model: str, store: Reports, clock: Clock) -> None:
        self._model = model
        self._store = store
        self._clock = clock
        self._earlier: dict[str, ProcessReport] = {}
        self._failing_ns: dict[str, int] = {}

    async def collect(self, state: RolloutState) -> Collected:
        """What is known now.

        Raises:
            StoreError: the store cannot be asked.
        """
        told = await self._store.published(counts_subject(self._model))
        live = await self._store.standings(route_subject(self._model), LIVE_S)
        reports = read_reports(told)
        ours = _of_rollout(reports, state)
        processes = {one.process.id for one in live}
        candidate, reference = state.spec.candidate, state.reference
        if state.phase is Phase.WARM:
            ours = self._with_patience(ours, candidate)
        ready = readiness(processes, ours, self._earlier, candidate, reference)
        self._remember(processes, ours, candidate)
        return Collected(sum_counts(reports, state.stage), ready)

    def _with_patience(
        self, reports: Mapping[str, ProcessReport], candidate: int
    ) -> dict[str, ProcessReport]:
        """The reports without failures that a process has told of for a moment only."""
        now_ns = self._clock.monotonic_ns()
        failing = {id_ for id_, one in reports.items() if candidate in one.failures}
        self._failing_ns = {id_: self._failing_ns.get(id_, now_ns) for id_ in failing}
        new = {id_ for id_, at_ns in self._failing_ns.items() if now_ns - at_ns < PATIENCE_S * 1e9}
        return {
            id_: msgspec.structs.replace(one, failures={}) if id_ in new else one
            for id_, one in reports.items()
        }

    def _remember(
        self, processes: set[str], reports: Mapping[str, ProcessReport], candidate: int
    ) -> None:
        """Keep of each process the last report with the candidate ready, else its first one.

        What was lost stays lost at every look, until a decision has been written down.
        """
        for process in processes & reports.keys():
            if candidate in reports[process].ready or process not in self._earlier:
                self._earlier[process] = reports[process]
        self._earlier = {id_: one for id_, one in self._earlier.items() if id_ in processes}


def read_reports(told: Mapping[str, bytes]) -> dict[str, ProcessReport]:
    """The reports that can be read; those of another version of this program cannot."""
    found = {}
    for process, value in told.items():
        try:
            found[process] = msgspec.msgpack.decode(value, type=ProcessReport)
        except msgspec.DecodeError:
            continue
    return found


def _of_rollout(
    reports: Mapping[str, ProcessReport], state: RolloutState
) -> dict[str, ProcessReport]:
    """The reports of any stage of this rollout.

    What a process told last of an earlier one stays published, and says nothing of which versions
    answer now.
    """
    prefix = f"{state.id}/"
    return {id_: one for id_, one in reports.items() if one.counts.stage.startswith(prefix)}


def sum_counts(reports: Mapping[str, ProcessReport], stage: str) -> StageCounts:
    """What all processes have counted in one stage; what is of another stage is left out. Pure."""
    counted = [one.counts for one in reports.values() if one.counts.stage == stage]
    return functools.reduce(add, counted, StageCounts(stage))
