"""About how many requests each stage takes, if the candidate is as good as the reference."""

from __future__ import annotations

import functools
import math

import msgspec

from penstock.evidence import samples
from penstock.rollout.gates.names import name_of
from penstock.rollout.plan import gates_of, levels, stage_of, stages, title
from penstock.rollout.sentences import percent
from penstock.rollout.spec import (
    AgreementGate,
    ErrorRateGate,
    Gate,
    LatencyGate,
    PredictionShiftGate,
    RolloutSpec,
    ShadowStage,
    Step,
)
from penstock.rollout.state import Phase

USUAL_ERROR_RATE = 0.001
"""The share of failed requests that is assumed of both versions."""

USUAL_CLASSES = 10
"""The number of classes that predictions are assumed to fall into."""


class StageNeed(msgspec.Struct, frozen=True):
    """About what one stage takes.

    Attributes:
        phase, step: which.
        title: the same in words, such as ``canary 5 %``.
        samples: of the candidate, until the slowest gate passes; ``min_samples`` at least.
        requests: of both versions together, for that many samples.
        min_time_s: the stage's least time, in seconds.
        gate: the slowest; "": it is ``min_samples`` that decides.
        assuming: what the number rests on; "": nothing.
    """

    phase: Phase
    step: int
    title: str
    samples: int
    requests: int
    min_time_s: float = 0.0
    gate: str = ""
    assuming: str = ""


def samples_needed(spec: RolloutSpec) -> tuple[StageNeed, ...]:
    """About what every stage takes, in order.

    Gates whose spread nobody knows beforehand (outcomes, Prometheus) are left out.
    """
    return tuple(_stage_need(spec, phase, step) for phase, step in stages(spec))


def _stage_need(spec: RolloutSpec, phase: Phase, step: int) -> StageNeed:
    stage = stage_of(spec, phase, step)
    least, min_time_s = (1, 0.0) if stage is None else (max(1, stage.min_samples), stage.min_time_s)
    part, share = _shares(spec, phase, step)
    alpha = levels(spec).promote
    needs = [_gate_need(gate, share, alpha) for gate in gates_of(spec, phase)]
    count, gate, assuming = max([(least, "", ""), *filter(None, needs)])
    requests = math.ceil(count / part)
    name = title(spec, phase, step)
    return StageNeed(phase, step, name, count, requests, min_time_s, gate, assuming)


def _shares(spec: RolloutSpec, phase: Phase, step: int) -> tuple[float, float]:
    """The candidate's samples in each request, and its part in what is compared."""
    stage = stage_of(spec, phase, step)
    if isinstance(stage, ShadowStage):
        part = max(stage.sample, 1e-9)
        return part, part / (1 + part)
    if isinstance(stage, Step):
        return stage.weight / 100, stage.weight / 100
    last = spec.steps[-1].weight / 100 if spec.steps else 0.5
    return 1.0, last


@functools.lru_cache(maxsize=256)
def _gate_need(gate: Gate, share: float, alpha: float) -> tuple[int, str, str] | None:
    """The candidate's samples, the gate's name, what is assumed; None: it cannot be said."""
    match gate:
        case ErrorRateGate(max_increase=margin):
            count = samples.for_rate_difference(USUAL_ERROR_RATE, margin, share, alpha)
            text = f"both fail {percent(USUAL_ERROR_RATE)} of their requests"
        case LatencyGate(quantile=quantile, max_ratio=ratio):
            count = samples.for_quantile_ratio(quantile, ratio, share, alpha)
            text = "both are equally fast"
        case AgreementGate(min_rate=rate, slack=slack):
            usual = (1 + rate) / 2
            count = samples.for_rate(usual, rate - slack, alpha)
            text = f"{percent(usual)} of the answers agree"
        case PredictionShiftGate(max_distance=distance):
            count = samples.for_total_variation(USUAL_CLASSES, distance, share, alpha)
            text = f"predictions of {USUAL_CLASSES} classes"
        case _:
            return None
    return count, name_of(gate), text
