"""What ends a rollout at once: a gate that fails, and what no plan has to name."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from penstock.evidence import rates
from penstock.evidence.verdict import Verdict
from penstock.rollout.gates.counts import Sides
from penstock.rollout.gates.gates import sides
from penstock.rollout.plan import levels
from penstock.rollout.seen import Evidence
from penstock.rollout.state import GateResult, Phase, RolloutState

_MOSTLY: Final = 0.5
_FEWEST: Final = 2


def broken(state: RolloutState, seen: Evidence, gates: tuple[GateResult, ...]) -> str:
    """Why the candidate must get no more requests, in one sentence; "": nothing is broken."""
    return next(_reasons(state, seen, gates), "")


def _reasons(state: RolloutState, seen: Evidence, gates: tuple[GateResult, ...]) -> Iterator[str]:
    version, ready = state.spec.candidate, seen.readiness
    if ready.failures:
        yield f"version {version} does not answer: {ready.failures[0]}"
    if ready.lost:
        yield (
            f"version {version} was ready and is no more in {ready.lost} of {ready.processes} "
            "serving processes"
        )
    if state.phase is Phase.WARM and seen.golden:
        yield f"version {version} does not answer as it has to: {seen.golden}"
    now = sides(state, seen.counts)
    is_alone = state.phase is Phase.BAKE and not now.reference.requests
    if is_more_often_non_finite(now, levels(state.spec).fail, is_alone=is_alone):
        yield (
            f"version {version} answered {now.candidate.non_finite:,} of "
            f"{now.candidate.requests:,} requests with a NaN or an infinity, version "
            f"{state.reference} {now.reference.non_finite or 'none'} of "
            f"{now.reference.requests:,}"
        )
    for gate in gates:
        if gate.verdict is Verdict.FAIL:
            yield f"{gate.gate}: {gate.message}"


def is_more_often_non_finite(compared: Sides, alpha: float, *, is_alone: bool = False) -> bool:
    """Whether the candidate certainly answers a NaN or an infinity more often than the reference.

    Law: one such answer alone says nothing, as it may come from a request's own inputs.

    Args:
        compared: the counts of both.
        alpha: how often, at most, it says so of a candidate that is as good, over all looks.
        is_alone: whether nothing will ever be counted of the reference: then the candidate has to
            answer so more often than not.
    """
    new, old = compared.candidate, compared.reference
    events = min(new.non_finite, new.requests)
    if events < _FEWEST:
        return False
    counts = (events, new.requests, min(old.non_finite, old.requests), old.requests)
    if is_alone:
        return rates.rate_interval(events, new.requests, alpha).low > _MOSTLY
    if compared.is_concurrent:
        return rates.more_often(*counts) > math.log(1 / alpha)
    return rates.difference_interval(*counts, alpha).low > 0
