"""Shares that follow the outcomes: each variant gets what its chance to be the best is. Pure.

Thompson 1933, "On the likelihood that one unknown probability exceeds another in view of the
evidence of two samples": draw a plausible value of each variant, and see how often each wins.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

from penstock.evidence import thompson
from penstock.evidence.means import Moments
from penstock.rollout.experiment.measures import Side, side_of
from penstock.rollout.experiment.spec import ExperimentSpec
from penstock.stores.experiment_log import ExperimentTally, VariantTally

_DRAWS = 4000
_LEAST_UNITS = 20
_WHOLE = 100.0


def shares(spec: ExperimentSpec, tally: ExperimentTally, seed: int) -> dict[str, float] | None:
    """The shares that the outcomes so far speak for.

    Args:
        spec: the experiment; its ``thompson`` says which goal is followed.
        tally: its outcomes, by the variant that made the prediction.
        seed: of the draws; the same seed and outcomes give the same shares.

    Returns:
        percent by variant, summing to 100; None: some variant has too few outcomes to say.
    """
    goal = spec.followed
    sides = {
        one.name: side_of(goal, tally.variants.get(one.name, VariantTally()))
        for one in spec.variants
    }
    if min(one.moments.count for one in sides.values()) < _LEAST_UNITS:
        return None
    floor_ratio = spec.thompson.floor_ratio
    if goal.kind == "rate":
        good, bad = _yes_and_no(sides, is_turned=goal.goal == "decrease")
        found = thompson.shares(good, bad, floor_ratio, seed)
    else:
        sign = 1.0 if goal.goal == "increase" else -1.0
        values = {name: one.moments for name, one in sides.items()}
        found = _by_means(values, sign, floor_ratio, seed)
    return _percent(found)


def has_moved(before: Mapping[str, float], now: Mapping[str, float], least: float = 1.0) -> bool:
    """Whether shares differ by more than ``least`` percent points: worth a change of the route."""
    return any(abs(share - before.get(name, 0.0)) > least for name, share in now.items())


def _yes_and_no(
    sides: Mapping[str, Side], *, is_turned: bool
) -> tuple[dict[str, float], dict[str, float]]:
    """Of each variant the units that did well and those that did not, in units."""
    yes = {name: one.moments.mean * one.moments.count for name, one in sides.items()}
    no = {name: one.moments.count - yes[name] for name, one in sides.items()}
    return (no, yes) if is_turned else (yes, no)


def _by_means(
    values: Mapping[str, Moments], sign: float, floor_ratio: float, seed: int
) -> dict[str, float]:
    """As ``thompson.shares``, of means: drawn from the normal that a mean of many follows."""
    chance = random.Random(seed)  # noqa: S311  # a simulation
    names = sorted(values)
    wins = dict.fromkeys(names, 0)
    spread = {name: _standard_error(values[name]) for name in names}
    for _ in range(_DRAWS):
        best = max(names, key=lambda name: sign * chance.gauss(values[name].mean, spread[name]))
        wins[best] += 1
    left = 1 - floor_ratio * len(names)
    return {name: floor_ratio + left * wins[name] / _DRAWS for name in names}


def _standard_error(moments: Moments) -> float:
    return math.sqrt(moments.m2 / max(1, moments.count - 1) / moments.count)


def _percent(found: Mapping[str, float]) -> dict[str, float]:
    """Percent with two decimals that sum to 100."""
    percent = {name: round(share * _WHOLE, 2) for name, share in found.items()}
    largest = max(percent, key=lambda name: percent[name])
    rest = math.fsum(share for name, share in percent.items() if name != largest)
    percent[largest] = round(_WHOLE - rest, 2)
    return percent
