"""Whether a plan can decide at all, and about how many requests it takes: told before it starts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from penstock.core.errors import ConfigError
from penstock.evidence.samples import MANY
from penstock.repository.manifest_shape import nearest
from penstock.rollout.need import StageNeed, samples_needed
from penstock.rollout.outside.http_call import check_url
from penstock.rollout.plan import gates_of, stage_of, stages
from penstock.rollout.sentences import about, duration
from penstock.rollout.spec import (
    AgreementGate,
    ErrorRateGate,
    Gate,
    OutcomeGate,
    PredictionShiftGate,
    PrometheusGate,
    RolloutSpec,
    ShadowStage,
)
from penstock.rollout.spec_urls import urls_of
from penstock.rollout.state import Phase
from penstock.router.compare import AUTO, COMPARISONS

MOST_REQUESTS_PER_S = 100_000.0
"""What is taken for the largest traffic where nothing is known of it."""


def check(spec: RolloutSpec, rps: float | None = None, source: str = "rollout") -> None:
    """Refuse a plan that can never decide.

    Args:
        spec: the plan.
        rps: requests per second that the model gets; None: not known, so that only what no
            traffic could do is refused.
        source: what an error calls the plan.

    Raises:
        ConfigError: the first obstacle, as ``source: $.path: why``, with the arithmetic.
    """
    for path, url in urls_of(spec):
        check_url(url, f"{source}: {path}")
    obstacles = (_order(spec), _gates(spec), _times(spec), _requests(spec, rps))
    for path, text in itertools.chain.from_iterable(obstacles):
        raise ConfigError(f"{source}: {path}: {text}")


def _order(spec: RolloutSpec) -> Iterator[tuple[str, str]]:
    if spec.reference == spec.candidate:
        yield "$.candidate", f"{spec.candidate} is the reference too: there is nothing to compare"
    weights = [step.weight for step in spec.steps]
    for place, (one, other) in enumerate(itertools.pairwise(weights), 1):
        if other <= one:
            text = f"{other:g} is not above {one:g}, the weight before: weights have to rise"
            yield f"$.steps[{place}].weight", text
    if spec.shadow is not None:
        yield from _shadow(spec.shadow)
    compares = [gate for gate in spec.gates if not isinstance(gate, PrometheusGate | OutcomeGate)]
    if not spec.steps and spec.shadow is None and compares:
        yield (
            "$.steps",
            "without a step or a shadow nothing is counted of the reference while the candidate "
            "is there, and no gate can compare: add a step, or say 'gates: []'",
        )
    elif not spec.steps and any(isinstance(gate, OutcomeGate) for gate in spec.gates):
        text = "outcomes are compared within a step, and there is none: add one, or leave that gate"
        yield "$.steps", f"{text} out"


def _shadow(shadow: ShadowStage) -> Iterator[tuple[str, str]]:
    if shadow.sample == 0:
        yield "$.shadow.sample", "0 copies no request: leave the shadow out, or copy some"
    known = (AUTO, *COMPARISONS)
    if shadow.compare not in known and ":" not in shadow.compare:
        hint = nearest(shadow.compare, known)
        yield (
            "$.shadow.compare",
            f"unknown comparison {shadow.compare!r}, {hint}; or name your own as module:function",
        )


def _gates(spec: RolloutSpec) -> Iterator[tuple[str, str]]:
    for place, gate in enumerate(spec.gates):
        path = f"$.gates[{place}]"
        if isinstance(gate, AgreementGate):
            text = "only a shadow has two answers to one request: put it under 'shadow: gates:'"
            yield path, text
        yield from _gate(gate, path)
    for place, gate in enumerate(() if spec.shadow is None else spec.shadow.gates):
        path = f"$.shadow.gates[{place}]"
        if isinstance(gate, OutcomeGate):
            yield path, "no client acts on a shadow's answers: put it under 'gates:'"
        if isinstance(gate, PredictionShiftGate):
            text = "a shadow's answers are compared one by one: say 'metric: agreement' here, or "
            yield path, text + "put it under 'gates:'"
        yield from _gate(gate, path)


def _gate(gate: Gate, path: str) -> Iterator[tuple[str, str]]:
    """What a gate can never show, whatever it sees."""
    never = "no number of requests shows that it is exactly 0: allow a little"
    match gate:
        case ErrorRateGate(max_increase=0):
            yield f"{path}.max_increase", never
        case PredictionShiftGate(max_distance=0):
            yield f"{path}.max_distance", never
        case PrometheusGate(min=None, max=None):
            yield path, "expected 'min', 'max' or both: without a bound nothing is decided"
        case PrometheusGate(min=float() | int() as low, max=float() | int() as high) if low > high:
            yield f"{path}.min", f"{low:g} is above max, {high:g}: no value lies between"


def _times(spec: RolloutSpec) -> Iterator[tuple[str, str]]:
    for phase, step in stages(spec):
        stage, path = stage_of(spec, phase, step), _path(phase, step)
        if stage is None:
            continue
        if stage.timeout_s <= stage.min_time_s:
            yield (
                f"{path}.timeout_s",
                f"{duration(stage.timeout_s)} is over before min_time_s, "
                f"{duration(stage.min_time_s)}, lets it decide",
            )
        for gate in gates_of(spec, phase):
            looks_s = spec.interval_s * getattr(gate, "consecutive", 0)
            if looks_s >= stage.timeout_s:
                yield (
                    f"{path}.timeout_s",
                    f"{duration(stage.timeout_s)} is over before a query is asked so often: its "
                    f"'consecutive' looks, one each {duration(spec.interval_s)}, take "
                    f"{duration(looks_s)}",
                )


def _requests(spec: RolloutSpec, rps: float | None) -> Iterator[tuple[str, str]]:
    rate = MOST_REQUESTS_PER_S if rps is None else rps
    for need in samples_needed(spec):
        stage = stage_of(spec, need.phase, need.step)
        if stage is None or need.requests <= rate * stage.timeout_s:
            continue
        path = f"{_path(need.phase, need.step)}.timeout_s"
        yield path, _too_many(need, stage.timeout_s, rate, is_known=rps is not None)


def _too_many(need: StageNeed, timeout_s: float, rate: float, *, is_known: bool) -> str:
    if need.samples >= MANY:
        return f"no number of requests is enough for {need.gate}: allow a larger difference"
    traffic = f"at {rate:,.6g} requests per second"
    even = "" if is_known else "even "
    takes = f", {duration(need.requests / rate)}" if rate > 0 else ""
    return (
        f"{need.gate or 'min_samples'} needs about {about(need.samples)} samples of the candidate, "
        f"{about(need.requests)} requests{takes} {even}{traffic}, and the stage ends after "
        f"{duration(timeout_s)}: allow more time or a larger difference"
    )


def _path(phase: Phase, step: int) -> str:
    return f"$.steps[{step}]" if phase is Phase.CANARY else f"$.{phase}"
