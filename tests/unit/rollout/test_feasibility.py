"""Plans that can never decide are refused, with the arithmetic; others are told what they take."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from penstock.core.errors import ConfigError
from penstock.rollout.feasibility import check
from penstock.rollout.need import samples_needed
from penstock.rollout.spec import (
    AgreementGate,
    Bake,
    ErrorRateGate,
    LatencyGate,
    OutcomeGate,
    PredictionShiftGate,
    PrometheusGate,
    RolloutSpec,
    ShadowStage,
    Step,
)
from tests.unit.rollout.rollouts import a_spec

OF_ALL = (
    ErrorRateGate(),
    LatencyGate(),
    PredictionShiftGate(),
    OutcomeGate(name="clicks", max_loss=1),
    PrometheusGate(url="http://p", query="q", max=1),
)


@pytest.mark.parametrize(
    "spec",
    [
        RolloutSpec(model="m", candidate=2),
        a_spec(gates=OF_ALL, shadow=ShadowStage()),
        a_spec(gates=(), steps=()),
        a_spec(steps=(), shadow=ShadowStage()),
    ],
)
def test_plans_that_can_decide(spec: RolloutSpec) -> None:
    check(spec)


def prometheus(**fields: Any) -> PrometheusGate:
    return PrometheusGate(url="http://p", query="q", **fields)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"candidate": 1}, "$.candidate: 1 is the reference too"),
        (
            {"steps": (Step(weight=5), Step(weight=5))},
            "$.steps[1].weight: 5 is not above 5, the weight before",
        ),
        ({"steps": ()}, "$.steps: without a step or a shadow nothing is counted"),
        (
            {"steps": (), "gates": (OutcomeGate(name="c", max_loss=1),)},
            "$.steps: outcomes are compared within a step, and there is none",
        ),
        (
            {"shadow": ShadowStage(sample=0)},
            "$.shadow.sample: 0 copies no request",
        ),
        ({"gates": (AgreementGate(),)}, "$.gates[0]: only a shadow has two answers"),
        (
            {"shadow": ShadowStage(gates=(OutcomeGate(name="c", max_loss=1),))},
            "$.shadow.gates[0]: no client acts on a shadow's answers",
        ),
        (
            {"shadow": ShadowStage(gates=(PredictionShiftGate(),))},
            "$.shadow.gates[0]: a shadow's answers are compared one by one",
        ),
        (
            {"gates": (LatencyGate(), ErrorRateGate(max_increase=0))},
            "$.gates[1].max_increase: no number of requests shows that it is exactly 0",
        ),
        ({"gates": (PredictionShiftGate(max_distance=0),)}, "$.gates[0].max_distance: no number"),
        ({"gates": (prometheus(),)}, "$.gates[0]: expected 'min', 'max' or both"),
        ({"gates": (prometheus(min=2, max=1),)}, "$.gates[0].min: 2 is above max, 1"),
        (
            {"steps": (Step(weight=1, min_time_s=60, timeout_s=60),)},
            "$.steps[0].timeout_s: 60 s is over before min_time_s, 60 s",
        ),
        (
            {"bake": Bake(min_time_s=7200, timeout_s=3600)},
            "$.bake.timeout_s: 60 min is over before min_time_s, 2 h",
        ),
        (
            {"gates": (prometheus(max=1, consecutive=200),), "interval_s": 10.0},
            "$.steps[0].timeout_s: 16.7 min is over before a query is asked so often",
        ),
    ],
)
def test_plans_that_never_decide(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(a_spec(**fields), source="r.yaml")
    assert caught.value.message.startswith(f"r.yaml: {told}")


def test_what_no_traffic_can_do_is_refused_with_the_arithmetic() -> None:
    hasty = Step(weight=1, min_samples=1, min_time_s=0, timeout_s=1)
    gates = (ErrorRateGate(max_increase=1e-5),)
    with pytest.raises(ConfigError) as caught:
        check(a_spec(steps=(hasty,), gates=gates))
    told = caught.value.message
    assert told.startswith("rollout: $.steps[0].timeout_s: error_rate <= +0.001 points needs about")
    assert "even at 100,000 requests per second, and the stage ends after 1 s" in told


def test_a_shadow_that_must_agree_on_everything_needs_slack() -> None:
    gate = AgreementGate(min_rate=1.0, slack=1e-7)
    shadow = ShadowStage(gates=(gate,), min_time_s=0, timeout_s=10)
    with pytest.raises(ConfigError, match=r"\$\.shadow\.timeout_s: agreement >= 100 % needs"):
        check(a_spec(shadow=shadow))
    wide = msgspec.structs.replace(shadow, gates=(AgreementGate(min_rate=1.0, slack=0.01),))
    check(a_spec(shadow=wide))


def test_what_no_number_of_requests_shows_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        check(a_spec(gates=(LatencyGate(max_ratio=1.05),)))
    assert caught.value.message == (
        "rollout: $.steps[0].timeout_s: no number of requests is enough for p99 latency <= 1.05 "
        "times: allow a larger difference"
    )


def test_a_comparison_that_there_is_not() -> None:
    with pytest.raises(ConfigError, match=r"\$\.shadow\.compare: unknown comparison 'clas'.*class"):
        check(a_spec(shadow=ShadowStage(compare="clas")))
    check(a_spec(shadow=ShadowStage(compare="mine:compare")))


def test_what_the_known_traffic_cannot_do_is_refused() -> None:
    spec = a_spec(gates=())
    check(spec, rps=2.1)
    with pytest.raises(ConfigError) as caught:
        check(spec, rps=0.1)
    assert caught.value.message == (
        "rollout: $.steps[0].timeout_s: min_samples needs about 100 samples of the candidate, "
        "2,000 requests, 5.56 h at 0.1 requests per second, and the stage ends after 16.7 min: "
        "allow more time or a larger difference"
    )
    with pytest.raises(ConfigError, match="2,000 requests at 0 requests per second"):
        check(spec, rps=0)


def test_the_need_of_each_stage() -> None:
    spec = a_spec(shadow=ShadowStage(sample=0.5), gates=(ErrorRateGate(),))
    needs = samples_needed(spec)
    assert [need.title for need in needs] == ["shadow", "canary 5 %", "canary 50 %", "bake"]
    shadow, first, second, bake = needs
    assert shadow.gate == "agreement >= 98 %"
    assert shadow.assuming == "99 % of the answers agree"
    assert shadow.requests == 2 * shadow.samples
    assert first.gate == "error_rate <= +0.5 points"
    assert first.assuming == "both fail 0.1 % of their requests"
    assert 300 < first.samples < 20_000
    assert first.requests == 20 * first.samples
    assert second.requests == 2 * second.samples
    assert bake.requests == bake.samples


def test_min_samples_may_be_what_takes_longest() -> None:
    spec = a_spec(steps=(Step(weight=10, min_samples=10**7),), gates=(LatencyGate(),))
    first = samples_needed(spec)[0]
    assert (first.samples, first.requests, first.gate) == (10**7, 10**8, "")


def test_more_precise_gates_need_more() -> None:
    def first(gate: Any) -> int:
        return samples_needed(a_spec(gates=(gate,)))[0].samples

    assert first(ErrorRateGate(max_increase=0.001)) > first(ErrorRateGate(max_increase=0.01))
    assert first(LatencyGate(max_ratio=1.1)) > first(LatencyGate(max_ratio=2.0))
    assert first(PredictionShiftGate(max_distance=0.05)) > first(PredictionShiftGate())
