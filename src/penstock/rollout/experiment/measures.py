"""One metric of one variant against the control, from sums over units. Pure."""

from __future__ import annotations

import math
from typing import NamedTuple

from penstock.evidence import means, rates, samples
from penstock.evidence.means import Moments
from penstock.evidence.verdict import Interval
from penstock.rollout.experiment.result import Comparison, Finding
from penstock.rollout.experiment.spec import Goal, Guardrail, Measure
from penstock.rollout.sentences import about, percent, points
from penstock.stores.experiment_log import VariantTally


class Side(NamedTuple):
    """A metric of one variant over its units.

    Attributes:
        moments: of the units' means.
        ones, zeros: units whose every outcome is 1, or 0.
        low, high: the least and the largest outcome.
    """

    moments: Moments
    ones: int
    zeros: int
    low: float
    high: float


_NOBODY = Side(Moments(), 0, 0, math.inf, -math.inf)


def side_of(measure: Measure, tally: VariantTally) -> Side:
    """A metric of one variant; where a missing outcome counts as 0, all units are in it."""
    told = tally.metrics.get(measure.metric)
    side = _NOBODY
    if told is not None:
        side = Side(told.moments, told.ones, told.zeros, told.low, told.high)
    silent = tally.units - tally.mixed_units - side.moments.count
    if measure.missing == "excluded" or silent <= 0:
        return side
    return Side(
        side.moments + Moments(silent),
        side.ones,
        side.zeros + silent,
        min(side.low, 0.0),
        max(side.high, 0.0),
    )


def compare_goal(goal: Goal, variant: str, new: Side, old: Side, alpha: float) -> Comparison:
    """Whether a variant is better than the control.

    Args:
        goal: by what.
        variant: who is compared.
        new: the variant's side.
        old: the control's.
        alpha: how often, at most, the interval is ever beside the true effect.
    """
    bound = _bound(goal.min_effect, goal.min_effect_ratio, old)
    return _comparison(goal, "goal", variant, (new, old), alpha, bound)


def compare_guardrail(
    rail: Guardrail, variant: str, new: Side, old: Side, alpha: float
) -> Comparison:
    """Whether a variant loses more than is put up with; the arguments are those of a goal."""
    bound = _bound(rail.max_loss, rail.max_loss_ratio, old)
    return _comparison(rail, "guardrail", variant, (new, old), alpha, bound)


def judge_goal(gain: Interval, bound: float) -> Finding:
    """What an interval of the gain says of a goal.

    A gain that is certain but smaller than what is worth having is no difference worth having.
    """
    if -bound < gain.low and gain.high < bound:
        return Finding.NO_DIFFERENCE
    if gain.low > 0:
        return Finding.BETTER
    return Finding.WORSE if gain.high < 0 else Finding.NEED_MORE_DATA


def judge_guardrail(gain: Interval, bound: float) -> Finding:
    """What an interval of the gain says of a guardrail."""
    if gain.low > -bound:
        return Finding.KEPT
    return Finding.BROKEN if gain.high < -bound else Finding.NEED_MORE_DATA


def more_units(finding: Finding, role: str, gain: Interval, bound: float, count: int) -> int | None:
    """About how many more samples decide, if the effect is what it seems; None: nobody can say."""
    if role == "goal":
        half_width = (gain.high - gain.low) / 2
        wanted = max(abs(gain.estimate), bound - abs(gain.estimate))
    else:
        half_width = gain.estimate - gain.low
        wanted = max(abs(gain.estimate + bound), bound / 4)
    if finding is not Finding.NEED_MORE_DATA or bound <= 0 or not math.isfinite(half_width):
        return None
    needed = samples.more_needed(count, half_width, wanted)
    return needed if 0 < needed < samples.MANY else None


def _comparison(
    measure: Measure,
    role: str,
    variant: str,
    sides: tuple[Side, Side],
    alpha: float,
    bound: float,
) -> Comparison:
    new, old = sides
    fault = _fault(measure, new, old)
    if fault:
        finding, interval = _no_finding(measure, new, old), Interval()
        needed = None if finding is Finding.NO_VERDICT else _first_units(new, old)
        fault += "" if needed is None else f": about {needed} more units"
    else:
        interval = _interval(measure, new, old, alpha)
        gain = interval if measure.goal == "increase" else _turned(interval)
        finding = (judge_goal if role == "goal" else judge_guardrail)(gain, bound)
        count = new.moments.count + old.moments.count
        needed = more_units(finding, role, gain, bound, count)
        if math.isinf(interval.high):
            needed = _first_units(new, old)
    message = fault or told(measure, interval, (new.moments.mean, old.moments.mean), needed)
    effect = None if fault else new.moments.mean - old.moments.mean
    return Comparison(
        metric=measure.metric,
        role=role,
        variant=variant,
        finding=finding,
        message=message,
        value=new.moments.mean if new.moments.count else None,
        control=old.moments.mean if old.moments.count else None,
        effect=effect,
        low=finite(interval.low),
        high=finite(interval.high),
        relative=effect / abs(old.moments.mean)
        if effect is not None and old.moments.mean
        else None,
        bound=bound if old.moments.count else None,
        samples=new.moments.count,
        control_samples=old.moments.count,
        needed=needed,
    )


def told(
    measure: Measure, interval: Interval, values: tuple[float, float], needed: int | None
) -> str:
    """A comparison in words: the values, the effect, and where it may lie."""
    new, old = values
    is_rate = measure.kind == "rate"
    show = percent if is_rate else _number
    difference = points if is_rate else _signed
    text = f"{show(new)} instead of {show(old)}, {difference(new - old)}"
    if old and not is_rate:
        text += f" ({_signed((new - old) / abs(old) * 100)} %)"
    if math.isfinite(interval.low) and math.isfinite(interval.high):
        text += f", between {difference(interval.low)} and {difference(interval.high)}"
    return text if needed is None else f"{text}; about {about(needed)} more units"


def finite(value: float) -> float | None:
    """A number as JSON can hold it."""
    return value if math.isfinite(value) else None


def _interval(measure: Measure, new: Side, old: Side, alpha: float) -> Interval:
    """Where the variant's mean minus the control's lies.

    A rate is exact as long as each unit says always yes or always no; where units have several
    outcomes their shares are numbers like others. Which of the two it is turns out with the data,
    so the level is shared between them.
    """
    if measure.kind == "mean":
        return means.difference_interval(new.moments, old.moments, alpha)
    if all(one.ones + one.zeros == one.moments.count for one in (new, old)):
        counts = new.ones, new.moments.count, old.ones, old.moments.count
        return rates.difference_interval(*counts, alpha / 2)
    return means.difference_interval(new.moments, old.moments, alpha / 2)


def _fault(measure: Measure, new: Side, old: Side) -> str:
    """Why nothing can be said; "": something can."""
    for who, one in (("the control", old), ("the variant", new)):
        if not one.moments.count:
            return f"no outcome '{measure.metric}' of {who} yet"
        if measure.kind == "rate" and not 0 <= one.low <= one.high <= 1:
            return (
                f"'{measure.metric}' is said to be a rate, and outcomes of {who} are beyond 0 to "
                f"1 ({one.low:g} to {one.high:g}): make it 'kind: mean', or mend the outcomes"
            )
    return ""


def _first_units(new: Side, old: Side) -> int | None:
    """Units until anything is said of means; None: there are enough, and they are all the same."""
    return sum(max(0, means.MIN_COUNT - one.moments.count) for one in (new, old)) or None


def _no_finding(measure: Measure, new: Side, old: Side) -> Finding:
    has_data = new.moments.count and old.moments.count
    return Finding.NO_VERDICT if has_data else Finding.NEED_MORE_DATA


def _bound(absolute: float | None, ratio: float | None, old: Side) -> float:
    """In the metric's unit; a part of the control's mean is taken of the mean so far."""
    return absolute if absolute is not None else (ratio or 0.0) * abs(old.moments.mean)


def _turned(interval: Interval) -> Interval:
    return Interval(-interval.high, -interval.low, -interval.estimate)


def _number(value: float) -> str:
    return f"{value:,.4g}"


def _signed(value: float) -> str:
    return f"{value:+,.3g}"
