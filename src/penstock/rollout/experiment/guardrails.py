"""Guardrails whose numbers the server counts itself: failed requests and latency. Pure."""

from __future__ import annotations

import math

from penstock.evidence import quantiles, rates
from penstock.evidence.verdict import Interval
from penstock.rollout.experiment.measures import finite, judge_guardrail, more_units
from penstock.rollout.experiment.result import Comparison, Finding
from penstock.rollout.experiment.spec import ERROR_RATE, LATENCY, Guardrail
from penstock.rollout.sentences import about, ms, percent, points
from penstock.router.counts import LATENCY_BOUNDS_S, VariantCounts


def is_built_in(rail: Guardrail) -> bool:
    """Whether the server counts it, by request."""
    return rail.metric in (ERROR_RATE, LATENCY)


def compare_counts(
    rail: Guardrail, variant: str, new: VariantCounts, old: VariantCounts, alpha: float
) -> Comparison:
    """Whether a variant fails more often, or takes longer, than is put up with.

    Args:
        rail: ``error_rate`` or ``latency``.
        variant: who is compared.
        new: what was counted of the variant.
        old: the same of the control.
        alpha: how often, at most, the interval is ever beside the true effect.
    """
    is_rate = rail.metric == ERROR_RATE
    values, interval = (_errors if is_rate else _latency)(rail, new, old, alpha)
    bound = (rail.max_loss if is_rate else rail.max_loss_ratio) or 0.0
    gain = Interval(-interval.high, -interval.low, -interval.estimate)
    has_both = bool(new.requests and old.requests)
    finding = judge_guardrail(gain, bound) if has_both else Finding.NEED_MORE_DATA
    needed = more_units(finding, "guardrail", gain, bound, new.requests + old.requests)
    return Comparison(
        metric=rail.metric,
        role="guardrail",
        variant=variant,
        finding=finding,
        message=_told(rail, values, interval, needed) if has_both else "no requests yet",
        value=finite(values[0]),
        control=finite(values[1]),
        effect=finite(interval.estimate),
        low=finite(interval.low),
        high=finite(interval.high),
        bound=bound,
        counted="requests",
        samples=new.requests,
        control_samples=old.requests,
        needed=needed,
    )


def _errors(
    rail: Guardrail, new: VariantCounts, old: VariantCounts, alpha: float
) -> tuple[tuple[float, float], Interval]:
    del rail
    counts = new.errors, new.requests, old.errors, old.requests
    values = (_share(new.errors, new.requests), _share(old.errors, old.requests))
    return values, rates.difference_interval(*counts, alpha)


def _latency(
    rail: Guardrail, new: VariantCounts, old: VariantCounts, alpha: float
) -> tuple[tuple[float, float], Interval]:
    """The two quantiles, in seconds, and where their ratio minus 1 lies."""
    bounds, quantile = LATENCY_BOUNDS_S, rail.quantile
    values = (
        quantiles.quantile_interval(new.latency, bounds, quantile, alpha).estimate,
        quantiles.quantile_interval(old.latency, bounds, quantile, alpha).estimate,
    )
    ratio = quantiles.ratio_interval(new.latency, old.latency, bounds, quantile, alpha)
    return values, Interval(*(end - 1 for end in ratio))


def _share(events: int, trials: int) -> float:
    return events / trials if trials else math.nan


def _told(
    rail: Guardrail, values: tuple[float, float], interval: Interval, needed: int | None
) -> str:
    if rail.metric == LATENCY:
        difference = _times
        text = f"p{rail.quantile * 100:g} {ms(values[0])} instead of {ms(values[1])}"
    else:
        difference = points
        text = f"{percent(values[0])} of the requests fail instead of {percent(values[1])}"
    if math.isfinite(interval.low) and math.isfinite(interval.high):
        text += f", between {difference(interval.low)} and {difference(interval.high)}"
    return text if needed is None else f"{text}; about {about(needed)} more requests"


def _times(difference: float) -> str:
    return f"{difference * 100:+.3g} %"
