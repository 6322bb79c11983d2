"""Looker: what is known of a model's requests now, for people who ask; nothing is decided here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from penstock.evidence.means import Moments
from penstock.rollout.collector import LIVE_S, Reports, read_reports, sum_counts
from penstock.rollout.outside.sources import OutcomeSource
from penstock.rollout.plan import gates_of
from penstock.rollout.report import ProcessReport
from penstock.rollout.seen import Evidence, Reading, readiness
from penstock.rollout.spec import OutcomeGate, PrometheusGate
from penstock.rollout.state import ModelRouting, RolloutState
from penstock.rollout.subjects import counts_subject, route_subject


class Look(NamedTuple):
    """What is known of a model at one look.

    Attributes:
        evidence: what a decision would be made of.
        reports: what each process told last of the present stage, by its id.
    """

    evidence: Evidence
    reports: Mapping[str, ProcessReport]


class Looker:
    """Looks at what all processes told, whichever of them decides.

    Values that only the one that decides has asked for (of Prometheus) are those of its last look
    that was written down.

    Args:
        store: where the processes tell.
        outcomes: who knows what came of the predictions.
    """

    def __init__(self, store: Reports, outcomes: OutcomeSource) -> None:
        self._store = store
        self._outcomes = outcomes

    async def look(self, model: str, routing: ModelRouting) -> Look:
        """What is known now.

        Raises:
            StoreError: the store cannot be asked.
        """
        stage = "" if routing.route is None else routing.route.stage
        if not stage:
            return Look(Evidence(), {})
        told = read_reports(await self._store.published(counts_subject(model)))
        reports = {id_: one for id_, one in told.items() if one.counts.stage == stage}
        evidence = Evidence(counts=sum_counts(reports, stage))
        state = routing.rollout
        if state is not None and not state.phase.is_end:
            evidence = await self._of_rollout(state, evidence, reports)
        return Look(evidence, reports)

    async def _of_rollout(
        self, state: RolloutState, evidence: Evidence, reports: Mapping[str, ProcessReport]
    ) -> Evidence:
        model = state.spec.model
        live = await self._store.standings(route_subject(model), LIVE_S)
        processes = {one.process.id for one in live}
        return Evidence(
            counts=evidence.counts,
            readiness=readiness(processes, reports, {}, state.spec.candidate, state.reference),
            outcomes=await self._told_outcomes(state),
            prometheus=_last_readings(state),
        )

    async def _told_outcomes(self, state: RolloutState) -> dict[str, Mapping[str, Moments]]:
        names = [
            gate.name for gate in gates_of(state.spec, state.phase) if isinstance(gate, OutcomeGate)
        ]
        model, stage = state.spec.model, state.outcome_stage
        if not stage:
            return {}
        return {name: await self._outcomes.moments(model, stage, name) for name in names}


def _last_readings(state: RolloutState) -> dict[int, Reading]:
    """The values of Prometheus that were written down last."""
    gates = gates_of(state.spec, state.phase)
    if len(state.last) != len(gates):
        return {}
    return {
        index: Reading(last.candidate, in_a_row=last.samples)
        for index, (gate, last) in enumerate(zip(gates, state.last, strict=True))
        if isinstance(gate, PrometheusGate) and last.candidate is not None
    }
