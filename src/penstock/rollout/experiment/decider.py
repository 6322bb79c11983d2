"""ExperimentDecider: what time asks of experiments: begin, move the shares, end. Writes nothing."""

from __future__ import annotations

from penstock.core.clock import Clock, SystemClock
from penstock.core.errors import Internal
from penstock.rollout.collector import LIVE_S, Reports, read_reports
from penstock.rollout.experiment import actions
from penstock.rollout.experiment import thompson as thompson
from penstock.rollout.experiment.control import counts_of
from penstock.rollout.experiment.experiments import Experiments
from penstock.rollout.experiment.state import (
    WARM,
    ExperimentPhase,
    ExperimentState,
    experiment_of,
)
from penstock.rollout.report import ProcessReport
from penstock.rollout.sentences import duration
from penstock.rollout.stage_clock import StageClock
from penstock.rollout.state import ModelRouting
from penstock.rollout.subjects import counts_subject, route_subject

_WARM_PACE_S = 0.5
_PACE_S = 1.0


class _Followed:
    """The times of one experiment while this process decides for it."""

    def __init__(self, id_: str, clock: Clock) -> None:
        self.id = id_
        self.phase = StageClock(clock)
        self.shares = StageClock(clock)
        self.looked_ns: int | None = None


class ExperimentDecider:
    """A ``Decider`` for experiments.

    Law: what is done to the machine's wall clock meanwhile neither ends an experiment nor keeps its
    shares where they are; what counts is the time that passes in the process that decides.

    Args:
        experiments: their outcomes.
        store: where the processes tell what is ready and what they counted.
        clock: where time comes from; None: the machine's.
    """

    def __init__(
        self, experiments: Experiments, store: Reports, *, clock: Clock | None = None
    ) -> None:
        self._experiments = experiments
        self._store = store
        self._clock = clock or SystemClock()
        self._followed: dict[str, _Followed] = {}

    def pace_s(self, name: str, routing: ModelRouting) -> float | None:
        """See ``Decider.pace_s``. What another version of this program has written rests."""
        del name
        try:
            state = experiment_of(routing)
        except Internal:
            return None
        if state is None or state.phase.is_end:
            return None
        return _WARM_PACE_S if state.phase is ExperimentPhase.WARM else _PACE_S

    async def look(self, name: str, routing: ModelRouting) -> ModelRouting | None:
        """See ``Decider.look``."""
        state = experiment_of(routing)
        if state is None or state.phase.is_end:
            return None
        followed = self._follow(name, state)
        is_warm = state.phase is ExperimentPhase.WARM
        since_ms, now_ms = followed.phase.since(state.entered_ms if is_warm else state.started_ms)
        if is_warm:
            return await self._begin(routing, state, now_ms - since_ms, now_ms)
        if now_ms - since_ms >= state.spec.max_duration_s * 1000:
            why = f"it has lasted {duration(state.spec.max_duration_s)}"
            counts = await counts_of(self._store, state)
            return actions.stop(routing, "", actions.CONTROLLER, why, now_ms, counts)
        return await self._weigh(routing, state, followed)

    def wrote(self, name: str, before: ModelRouting, after: ModelRouting) -> bool:
        """See ``Decider.wrote``."""
        del name
        return before.route != after.route

    async def rest(self, name: str) -> None:
        """See ``Decider.rest``."""
        self._followed.pop(name, None)

    def _follow(self, name: str, state: ExperimentState) -> _Followed:
        found = self._followed.get(name)
        if found is None or found.id != state.id:
            found = self._followed[name] = _Followed(state.id, self._clock)
        return found

    async def _begin(
        self, routing: ModelRouting, state: ExperimentState, lasts_ms: int, now_ms: int
    ) -> ModelRouting | None:
        """Begin when every version is ready in every process that lives, or give up."""
        model = state.spec.model
        reports = read_reports(await self._store.published(counts_subject(model)))
        live = await self._store.standings(route_subject(model), LIVE_S)
        told = [reports.get(one.process.id) for one in live]
        here = [one for one in told if one is not None and one.counts.stage == state.id + WARM]
        why = _why_never(state, here)
        if not why and lasts_ms > state.spec.warm_timeout_s * 1000:
            why = f"versions were not ready within {duration(state.spec.warm_timeout_s)}"
        if why:
            return actions.fail(routing, state.id, why, now_ms)
        waits = len(here) < len(live) or any(actions.missing(state, one.ready) for one in here)
        return None if waits or not here else actions.run(routing, state.id, now_ms)

    async def _weigh(
        self, routing: ModelRouting, state: ExperimentState, followed: _Followed
    ) -> ModelRouting | None:
        """Move the shares, where they follow the outcomes and those say so."""
        spec, now_ns = state.spec, self._clock.monotonic_ns()
        weighed_ms, now_ms = followed.shares.since(state.weighed_ms)
        since_ns = (now_ms - weighed_ms) * 1_000_000
        if followed.looked_ns is not None:
            since_ns = min(since_ns, now_ns - followed.looked_ns)
        if spec.mode != "thompson" or since_ns < spec.thompson.interval_s * 1e9:
            return None
        tally = await self._experiments.tally(state.id, by_prediction=True)
        followed.looked_ns = now_ns
        shares = thompson.shares(spec, tally, seed=now_ms)
        if shares is None or not thompson.has_moved(state.weights, shares):
            return None
        return actions.weigh(
            routing, state.id, shares, f"outcomes of {spec.followed.metric}", now_ms
        )


def _why_never(state: ExperimentState, reports: list[ProcessReport]) -> str:
    """Why a version will not be ready; "": it may be."""
    for report in reports:
        for version in actions.missing(state, report.ready):
            if version in report.failures:
                return f"version {version} could not be loaded: {report.failures[version]}"
    return ""
