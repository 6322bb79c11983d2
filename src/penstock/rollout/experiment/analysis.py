"""What an experiment says: from sums over units and counts of requests to a verdict. Pure.

Everything holds at every look (see ``evidence``): one may look as often as one likes, and stop
whenever one likes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from penstock.evidence import sample_ratio
from penstock.rollout.experiment.guardrails import compare_counts, is_built_in
from penstock.rollout.experiment.measures import compare_goal, compare_guardrail, side_of
from penstock.rollout.experiment.result import (
    Comparison,
    ExperimentResult,
    Finding,
    VariantResult,
)
from penstock.rollout.experiment.sentences import headline, notes_of
from penstock.rollout.experiment.spec import ExperimentSpec
from penstock.rollout.experiment.state import ExperimentPhase, ExperimentState
from penstock.rollout.sentences import percent
from penstock.router.counts import StageCounts, VariantCounts
from penstock.stores.experiment_log import ExperimentTally, VariantTally

SAMPLE_RATIO_LEVEL = 0.001
"""How often, at most, a sound split is ever called broken."""


def analyse(
    state: ExperimentState, tally: ExperimentTally, counts: StageCounts
) -> ExperimentResult:
    """Compare every variant with the control.

    The sample ratio comes first: where the variants have not met their shares of the units,
    something other than chance chose who met which, and no comparison means anything.

    Args:
        state: the experiment.
        tally: what the log has of it.
        counts: what the processes have counted of it.
    """
    spec = state.spec
    blocked = _blocked(spec, tally)
    comparisons = tuple(
        _without_verdict(spec, one, blocked)
        for variant in spec.variants[1:]
        for one in _comparisons(spec, variant.name, tally, counts)
    )
    waits = state.phase is ExperimentPhase.WARM
    sentence, finding = headline(state, comparisons, blocked)
    return ExperimentResult(
        sentence=sentence,
        finding=finding,
        level_each=spec.level_each,
        blocked=blocked,
        variants=_variants(state, tally, counts),
        comparisons=() if waits else comparisons,
        notes=notes_of(spec, tally, counts),
    )


def _comparisons(
    spec: ExperimentSpec, variant: str, tally: ExperimentTally, counts: StageCounts
) -> list[Comparison]:
    alpha, nothing = spec.level_each, VariantTally()
    new = tally.variants.get(variant, nothing)
    old = tally.variants.get(spec.control, nothing)
    found = [
        compare_goal(goal, variant, side_of(goal, new), side_of(goal, old), alpha)
        for goal in spec.goals
    ]
    none = VariantCounts()
    counted = counts.variants.get(variant, none), counts.variants.get(spec.control, none)
    for rail in spec.guardrails:
        if is_built_in(rail):
            found.append(compare_counts(rail, variant, *counted, alpha))
        else:
            sides = side_of(rail, new), side_of(rail, old)
            found.append(compare_guardrail(rail, variant, *sides, alpha))
    return found


def _without_verdict(spec: ExperimentSpec, one: Comparison, blocked: str) -> Comparison:
    """A comparison that proves nothing: the sample ratio is off, or the shares moved under it.

    Failed requests and latencies are compared by request. With a broken split they keep their
    verdict: theirs does not rest on who was assigned by chance, and a harmful variant should be
    seen even so. With shares that move they have none either: what all requests have in common
    at one time, such as an outage, then weighs unlike in the variants.
    """
    if spec.mode != "thompson" and (one.counted == "requests" or not blocked):
        return one
    return msgspec.structs.replace(
        one, finding=Finding.NO_VERDICT, low=None, high=None, needed=None
    )


def _blocked(spec: ExperimentSpec, tally: ExperimentTally) -> str:
    """Why the split cannot be trusted; "": it can, as far as one can tell."""
    if spec.mode == "thompson":
        return ""
    units = {one.name: _units(tally, one.name) for one in spec.variants}
    shares = {one.name: one.weight / 100 for one in spec.variants}
    if sample_ratio.log_e_value(units, shares) <= math.log(1 / SAMPLE_RATIO_LEVEL):
        return ""
    total = sum(units.values())
    parts = ", ".join(
        f"{name} {count:,} of {total:,} ({percent(count / total)} instead of "
        f"{percent(shares[name])})"
        for name, count in units.items()
    )
    return (
        f"the variants did not meet their shares of the units: {parts}. Chance does not do that. "
        "Is a version not ready in some process, does a cache or a retry answer for one of them, "
        "or do its callers give up before they have an answer?"
    )


def _variants(
    state: ExperimentState, tally: ExperimentTally, counts: StageCounts
) -> tuple[VariantResult, ...]:
    return tuple(
        VariantResult(
            name=one.name,
            version=one.version,
            weight=state.weights.get(one.name, one.weight),
            units=_units(tally, one.name),
            mixed_units=tally.variants.get(one.name, VariantTally()).mixed_units,
            **_counted(counts.variants, one.name),
        )
        for one in state.spec.variants
    )


def _counted(counts: Mapping[str, VariantCounts], name: str) -> dict[str, int]:
    found = counts.get(name)
    return {} if found is None else {"requests": found.requests, "errors": found.errors}


def _units(tally: ExperimentTally, name: str) -> int:
    return tally.variants.get(name, VariantTally()).units
