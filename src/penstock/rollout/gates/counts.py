"""The gates that compare what was counted of two versions."""

from __future__ import annotations

import math
from typing import NamedTuple

from penstock.evidence import quantiles, rates, samples, shift
from penstock.evidence.verdict import Interval, Verdict
from penstock.rollout.gates.names import name_of
from penstock.rollout.plan import Levels
from penstock.rollout.sentences import at_level, ms, percent, points
from penstock.rollout.spec import AgreementGate, ErrorRateGate, LatencyGate, PredictionShiftGate
from penstock.rollout.state import GateResult
from penstock.router.counts import LATENCY_BOUNDS_S, PairCounts, VariantCounts


class Sides(NamedTuple):
    """Whom the gates compare.

    Attributes:
        candidate, reference: what was counted of them.
        pairs: of a shadow; empty where there is none.
        is_concurrent: whether both were counted at the same time, in shares that stayed as they
            were: those of a step where each request is assigned by itself.
    """

    candidate: VariantCounts
    reference: VariantCounts
    pairs: PairCounts
    is_concurrent: bool = True


def error_rate(gate: ErrorRateGate, sides: Sides, level: Levels) -> GateResult:
    """Whether the candidate fails too much more often.

    Fails where it is certain that the candidate fails more often, and the increase is larger than
    what is allowed as far as one can tell: a certain but small increase is what the user allows.
    Passes where the increase is certain to be allowed.
    """
    new, old = sides.candidate, sides.reference
    name = name_of(gate)
    if not new.requests or not old.requests:
        return _nothing(name, gate.max_increase, new.requests, old.requests)
    pairs = (new.errors, new.requests, old.errors, old.requests)
    increase = new.errors / new.requests - old.errors / old.requests
    is_worse = _is_more_often(pairs, level.fail, is_concurrent=sides.is_concurrent)
    allowed = rates.difference_interval(*pairs, level.promote)
    verdict, tail = Verdict.NEED_MORE_DATA, f"the difference may be {points(allowed.high)}"
    if is_worse and increase > gate.max_increase:
        verdict, tail = Verdict.FAIL, f"worse {at_level(level.fail)}"
    elif allowed.high <= gate.max_increase:
        verdict, tail = Verdict.PASS, f"at most {points(allowed.high)} {at_level(level.promote)}"
    return GateResult(
        name,
        verdict,
        f"the candidate fails {percent(new.errors / new.requests)} of {new.requests:,} requests, "
        f"the reference {percent(old.errors / old.requests)} of {old.requests:,}: {tail}",
        bound=gate.max_increase,
        candidate=new.errors / new.requests,
        reference=old.errors / old.requests,
        low=None if verdict is Verdict.FAIL else _finite(allowed.low),  # of another test
        high=None if verdict is Verdict.FAIL else _finite(allowed.high),
        samples=new.requests,
        needed=_needed(verdict, new.requests, allowed, gate.max_increase, increase),
    )


def _is_more_often(counts: tuple[int, int, int, int], alpha: float, *, is_concurrent: bool) -> bool:
    """Whether the first rate is certain to be above the second.

    The stronger test needs shares that do not change while it counts.
    """
    if is_concurrent:
        return rates.more_often(*counts) > math.log(1 / alpha)
    return rates.difference_interval(*counts, alpha).low > 0


def latency(gate: LatencyGate, sides: Sides, level: Levels) -> GateResult:
    """Whether a quantile of the candidate's latency is too many times the reference's."""
    name = name_of(gate)
    new, old = sides.candidate.latency, sides.reference.latency
    if not sum(new) or not sum(old):
        return _nothing(name, gate.max_ratio, sum(new), sum(old))

    def ratio(alpha: float) -> Interval:
        return quantiles.ratio_interval(new, old, LATENCY_BOUNDS_S, gate.quantile, alpha)

    verdict, allowed, tail = _above(ratio(level.fail), ratio(level.promote), gate.max_ratio, level)
    mine, theirs = (
        quantiles.quantile_interval(side, LATENCY_BOUNDS_S, gate.quantile, level.promote).estimate
        for side in (new, old)
    )
    return GateResult(
        name,
        verdict,
        f"p{gate.quantile * 100:g} of the candidate is {ms(mine)} over {sum(new):,} requests, of "
        f"the reference {ms(theirs)} over {sum(old):,}: the ratio {tail}",
        bound=gate.max_ratio,
        candidate=_finite(mine),
        reference=_finite(theirs),
        low=_finite(allowed.low),
        high=_finite(allowed.high),
        samples=sum(new),
        needed=_needed(verdict, sum(new), allowed, gate.max_ratio, allowed.estimate),
    )


def agreement(gate: AgreementGate, sides: Sides, level: Levels) -> GateResult:
    """Whether too few of the shadow's answers agree with those that the clients got.

    A copy counts once, by the part of its rows that agrees: see ``rates.rate_interval``, which
    holds for parts as well. One that the shadow failed to answer agrees with nothing.
    """
    name, pairs = name_of(gate), sides.pairs
    count = pairs.pairs + pairs.errors
    if not count:
        return _nothing(name, gate.min_rate, 0, None)
    rate, least = pairs.agreed / count, gate.min_rate - gate.slack
    surely = rates.rate_interval(pairs.agreed, count, level.fail)
    allowed = rates.rate_interval(pairs.agreed, count, level.promote)
    verdict, tail = Verdict.NEED_MORE_DATA, f"it may be {percent(allowed.low)}"
    if surely.high < gate.min_rate:
        verdict = Verdict.FAIL
        tail = f"at most {percent(surely.high)} {at_level(level.fail)}"
    elif allowed.low >= least:
        verdict = Verdict.PASS
        tail = f"at least {percent(allowed.low)} {at_level(level.promote)}"
    return GateResult(
        name,
        verdict,
        f"{percent(rate)} of {count:,} answers agree{_failed(pairs)}: {tail}",
        bound=gate.min_rate,
        candidate=rate,
        low=_finite(allowed.low),
        high=_finite(allowed.high),
        samples=count,
        needed=_needed(verdict, count, Interval(-allowed.high, -allowed.low, -rate), -least, -rate),
    )


def _failed(pairs: PairCounts) -> str:
    return f" ({pairs.errors:,} failed)" if pairs.errors else ""


def prediction_shift(gate: PredictionShiftGate, sides: Sides, level: Levels) -> GateResult:
    """Whether the candidate's predictions are distributed otherwise than the reference's."""
    name = name_of(gate)
    new, old = sides.candidate.predictions, sides.reference.predictions
    num_new, num_old = sum(new.values()), sum(old.values())
    if not num_new or not num_old:
        return _nothing(name, gate.max_distance, num_new, num_old, "predictions")

    def distance(alpha: float) -> Interval:
        return shift.total_variation_interval(new, old, alpha)

    verdict, allowed, tail = _above(
        distance(level.fail), distance(level.promote), gate.max_distance, level
    )
    return GateResult(
        name,
        verdict,
        f"{num_new:,} predictions of the candidate against {num_old:,} of the reference: their "
        f"distance {tail}",
        bound=gate.max_distance,
        low=_finite(allowed.low),
        high=_finite(allowed.high),
        samples=num_new,
        needed=_needed(verdict, num_new, allowed, gate.max_distance, allowed.estimate),
    )


def _above(
    surely: Interval, allowed: Interval, bound: float, level: Levels
) -> tuple[Verdict, Interval, str]:
    """What an upper bound says of a value, with the interval to show and its words."""
    if surely.low > bound:
        return Verdict.FAIL, surely, f"is at least {surely.low:.3g} {at_level(level.fail)}"
    if allowed.high <= bound:
        return Verdict.PASS, allowed, f"is at most {allowed.high:.3g} {at_level(level.promote)}"
    if math.isfinite(allowed.high):
        return Verdict.NEED_MORE_DATA, allowed, f"may be {allowed.high:.3g}"
    return Verdict.NEED_MORE_DATA, allowed, "may be anything yet"


def _nothing(name: str, bound: float, new: int, old: int | None, of: str = "answers") -> GateResult:
    who = "the candidate" if not new else "the reference"
    both = not new and old == 0
    text = f"no {of} of {'either version' if both else who} yet"
    return GateResult(name, Verdict.NEED_MORE_DATA, text, bound=bound, samples=new)


def _needed(
    verdict: Verdict, count: int, allowed: Interval, bound: float, estimate: float
) -> int | None:
    """About how many more until the interval's upper end lies below the bound."""
    needed = samples.more_needed(count, allowed.high - estimate, bound - estimate)
    return needed if verdict is Verdict.NEED_MORE_DATA and needed < samples.MANY else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
