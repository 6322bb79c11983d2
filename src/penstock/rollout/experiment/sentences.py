"""The verdict of an experiment in one sentence, and what should be known beside it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.rollout.experiment.result import Comparison, Finding
from penstock.rollout.experiment.spec import ExperimentSpec
from penstock.rollout.experiment.state import ExperimentPhase, ExperimentState
from penstock.rollout.sentences import percent
from penstock.router.counts import StageCounts
from penstock.stores.experiment_log import ExperimentTally, VariantTally

_MANY_MIXED = 0.01
_ANSWERED_APART = 0.1


def headline(
    state: ExperimentState, comparisons: Sequence[Comparison], blocked: str
) -> tuple[str, Finding]:
    """The sentence, and what it says of the first goal.

    Args:
        state: the experiment.
        comparisons: all of them.
        blocked: why there is no verdict; "": there may be one.
    """
    spec = state.spec
    if state.phase is ExperimentPhase.WARM or not state.started_ms:
        text = "It has not begun: versions are not ready yet."
        if state.phase.is_end:
            text = f"It never began: {state.history[-1].why}."
        return text, Finding.NEED_MORE_DATA
    broken = [one for one in comparisons if one.finding is Finding.BROKEN]
    if broken:
        first = broken[0]
        told = f"'{first.variant}' breaks the guardrail {first.metric}: {first.message}."
        return told, Finding.NO_VERDICT if blocked else _best(spec, comparisons).finding
    if blocked:
        return f"No verdict: {blocked}", Finding.NO_VERDICT
    if spec.mode == "thompson":
        return _shares(state), Finding.NO_VERDICT
    best = _best(spec, comparisons)
    return _verdict(spec, best) + _open_guardrails(comparisons, best), best.finding


def notes_of(spec: ExperimentSpec, tally: ExperimentTally, counts: StageCounts) -> tuple[str, ...]:
    """What should be known beside the verdict."""
    units = sum(one.units for one in tally.variants.values())
    mixed = sum(one.mixed_units for one in tally.variants.values())
    notes = [_silence(spec, tally)]
    if spec.mode == "thompson":
        notes.append(
            "the shares follow the outcomes, so the comparisons of fixed shares do not hold: the "
            "goals and guardrails have no verdict; repeat the experiment with 'mode: fixed' for one"
        )
    if tally.dropped:
        notes.append(
            f"{tally.dropped:,} exposures were dropped, because the experiment log did not keep "
            "up: their outcomes count for nothing"
        )
    if mixed:
        weight = " (many: do callers change their key?)" if mixed > _MANY_MIXED * units else ""
        notes.append(f"{mixed:,} units met more than one variant and are left out{weight}")
    if counts.unkeyed:
        notes.append(f"{counts.unkeyed:,} requests had no routing key and are left out")
    if tally.repeated:
        notes.append(
            f"{tally.repeated:,} requests came with an id that another one had before, so that "
            "their outcomes cannot be told apart: send ids that are used once, or none"
        )
    if tally.waiting:
        notes.append(
            f"{tally.waiting:,} outcomes are kept aside, because no exposure has their "
            "prediction_id (yet): it may be of a request without a key, or a wrong one"
        )
    return tuple(note for note in notes if note)


def _best(spec: ExperimentSpec, comparisons: Sequence[Comparison]) -> Comparison:
    """The variant to speak of: the best of those that are better, else whoever is not decided."""
    first = spec.goals[0]
    sign = 1.0 if first.goal == "increase" else -1.0
    order = (
        Finding.BETTER,
        Finding.NEED_MORE_DATA,
        Finding.NO_VERDICT,
        Finding.NO_DIFFERENCE,
        Finding.WORSE,
    )
    goals = [one for one in comparisons if one.role == "goal" and one.metric == first.metric]
    return min(goals, key=lambda one: (order.index(one.finding), -sign * (one.effect or 0.0)))


def _verdict(spec: ExperimentSpec, best: Comparison) -> str:
    who, control, what = f"'{best.variant}'", f"'{spec.control}'", best.metric
    match best.finding:
        case Finding.BETTER | Finding.WORSE:
            return f"{who} is {best.finding} than {control}: {what} {best.message}."
        case Finding.NO_DIFFERENCE:
            return f"No difference worth having between {who} and {control}: {what} {best.message}."
        case Finding.NO_VERDICT:
            return f"No verdict: {best.message}."
        case _:
            seen = best.message if best.effect is None else f"{what} {best.message}"
            return f"Not enough data yet to compare {who} with {control}: {seen}."


def _open_guardrails(comparisons: Sequence[Comparison], best: Comparison) -> str:
    """What is not decided yet of the variant that may be kept."""
    if best.finding not in (Finding.BETTER, Finding.NO_DIFFERENCE):
        return ""
    mine = [one for one in comparisons if one.variant == best.variant and one.role == "guardrail"]
    left = [one.metric for one in mine if one.finding is not Finding.KEPT]
    return f" Guardrails not decided yet: {', '.join(left)}." if left else ""


def _shares(state: ExperimentState) -> str:
    shares = ", ".join(f"'{name}' {percent(share / 100)}" for name, share in state.weights.items())
    return f"The shares follow {state.spec.followed.metric}: {shares}."


def _silence(spec: ExperimentSpec, tally: ExperimentTally) -> str:
    """A word where the variants' units tell outcomes unlike often; "": they do not."""
    for goal in spec.goals:
        if goal.missing == "zero":
            continue
        told = {
            one.name: _answering(tally.variants.get(one.name, VariantTally()), goal.metric)
            for one in spec.variants
        }
        if max(told.values()) - min(told.values()) > _ANSWERED_APART:
            parts = ", ".join(f"{name} {percent(share)}" for name, share in told.items())
            return (
                f"units have an outcome '{goal.metric}' unlike often ({parts}): those who have "
                "one may not be alike; if only events are told, set 'missing: zero'"
            )
    return ""


def _answering(tally: VariantTally, metric: str) -> float:
    told = tally.metrics.get(metric)
    units = tally.units - tally.mixed_units
    return 0.0 if told is None or not units else min(1.0, told.moments.count / units)
