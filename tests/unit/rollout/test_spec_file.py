"""rollout.yaml: what is read, and what is refused in which words."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from penstock.core.errors import ConfigError
from penstock.rollout.spec import (
    AgreementGate,
    Bake,
    ErrorRateGate,
    GoldenRequest,
    OutcomeGate,
    PrometheusGate,
    RolloutSpec,
    ShadowStage,
    Step,
    Webhook,
)
from penstock.rollout.spec_file import GATES, read_spec
from penstock.rollout.state import Phase
from penstock.router.route import RoutingKey

WHOLE = b"""
model: digits
candidate: 2
reference: 1
key: {header: x-user-id}
golden:
  - request: {inputs: [{name: x, shape: [1], datatype: FP32, data: [1]}]}
    outputs: {y: [1.5]}
shadow:
  sample: 0.5
  gates: [{metric: agreement, min_rate: 0.9, slack: 0.05}]
steps:
  - {weight: 5, min_samples: 500}
  - weight: 50
bake: {min_time_s: 600}
gates:
  - metric: error_rate
    max_increase: 0.01
  - {metric: outcome, name: clicks, max_loss: 0.1}
  - {metric: prometheus, url: 'http://p', query: 'sum(x{job="a"})', max: 3}
webhook: {url: 'http://hook'}
"""


def test_a_whole_file() -> None:
    spec = read_spec(WHOLE, "rollout.yaml")
    assert spec.key == RoutingKey(header="x-user-id")
    assert spec.steps == (Step(weight=5, min_samples=500), Step(weight=50))
    assert spec.gates == (
        ErrorRateGate(max_increase=0.01),
        OutcomeGate(name="clicks", max_loss=0.1),
        PrometheusGate(url="http://p", query='sum(x{job="a"})', max=3),
    )
    assert spec.shadow is not None
    assert spec.shadow.gates == (AgreementGate(min_rate=0.9, slack=0.05),)
    assert spec.golden[0].outputs == {"y": [1.5]}


def test_all_but_model_and_candidate_has_a_default() -> None:
    assert read_spec(b"model: m\ncandidate: 2", "r") == RolloutSpec(model="m", candidate=2)
    assert read_spec({"model": "m", "candidate": 2}, "r") == RolloutSpec(model="m", candidate=2)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "$: expected a mapping, got nothing (null)"),
        ("- a", "$: expected a mapping, got a list"),
        ("model: m", "$.candidate: missing"),
        ("model: m\ncandidate: 2\nstep: []", "$.step: unknown field, did you mean 'steps'?"),
        ("model: m\ncandidate: two", "$.candidate: expected a whole number >= 0, got text 'two'"),
        (
            "model: m\ncandidate: 2\nsteps: [{weight: 1, min_sample: 3}]",
            "$.steps[0].min_sample: unknown field, did you mean 'min_samples'?",
        ),
        ("model: m\ncandidate: 2\nsteps: [{}]", "$.steps[0].weight: missing"),
        (
            "model: m\ncandidate: 2\nsteps: [{weight: 100}]",
            "$.steps[0].weight: expected a number > 0 and < 100, got 100",
        ),
        ("model: m\ncandidate: 2\ngates: latency", "$.gates: expected a list, got text 'latency'"),
        (
            "model: m\ncandidate: 2\ngates: [latency]",
            "$.gates[0]: expected a mapping, got text 'latency'",
        ),
        ("model: m\ncandidate: 2\ngates: [{max_ratio: 2}]", "$.gates[0].metric: missing, expected"),
        (
            "model: m\ncandidate: 2\ngates: [{metric: latncy}]",
            "$.gates[0].metric: unknown, got text 'latncy'; did you mean 'latency'?",
        ),
        (
            "model: m\ncandidate: 2\ngates: [{metric: latency, max_rate: 2}]",
            "$.gates[0].max_rate: unknown field, did you mean 'max_ratio'?",
        ),
        (
            "model: m\ncandidate: 2\nshadow: {gates: [{metric: agreement, slack: 0}]}",
            "$.shadow.gates[0].slack: expected a number > 0 and <= 1, got 0",
        ),
        *[
            (
                "model: m\ncandidate: 2\n"
                f"gates: [{{metric: prometheus, url: u, query: q, timeout_s: {told}}}]",
                f"$.gates[0].timeout_s: expected a number > 0 and <= 60, got {got}",
            )
            for told, got in (("61", "61"), (".inf", "inf"), ("0", "0"))
        ],
        *[
            (
                f"model: m\ncandidate: 2\ninterval_s: {told}",
                f"$.interval_s: expected a number >= 0.1, got {got}",
            )
            for told, got in (("0.09", "0.09"), ("0", "0"), (".nan", "nan"), (".inf", "inf"))
        ],
        (
            "model: m\ncandidate: 2\nwebhook: {url: u, timeout_s: 61}",
            "$.webhook.timeout_s: expected a number > 0 and <= 60, got 61",
        ),
        (
            "model: m\ncandidate: 2\nwebhook: {url: u, attempts: 21}",
            "$.webhook.attempts: expected a whole number from 1 to 20, got 21",
        ),
        (
            "model: m\ncandidate: 2\nfalse_rollback: 0.5",
            "$.false_rollback: expected a number > 0 and < 0.5, got 0.5",
        ),
    ],
)
def test_refusals_name_the_field(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_spec(text.encode(), "r.yaml")
    assert caught.value.message.startswith(f"r.yaml: {told}")


def test_the_bounds_themselves_may_be_taken() -> None:
    gate = {"metric": "prometheus", "url": "u", "query": "q", "timeout_s": 60}
    plan = {"model": "m", "candidate": 2, "interval_s": 0.1, "gates": [gate]}
    spec = read_spec(plan, "r")
    assert spec.interval_s == 0.1
    assert spec.gates == (PrometheusGate(url="u", query="q", timeout_s=60),)


def test_no_yaml() -> None:
    with pytest.raises(ConfigError, match=r"r\.yaml:1:9: not valid YAML"):
        read_spec(b"model: m: 3", "r.yaml")


PAGE = Path(__file__).parents[3] / "docs" / "rollouts.md"


@pytest.mark.parametrize(
    "kind",
    [RolloutSpec, ShadowStage, Step, Bake, GoldenRequest, Webhook, *GATES.values()],
    ids=lambda kind: kind.__name__,
)
def test_every_field_stands_in_the_documentation(kind: type[msgspec.Struct]) -> None:
    told = set(re.findall(r"`(?:[a-z_]+(?:\[\])?\.)?([a-z_]+)`", PAGE.read_text()))
    assert {field.name for field in msgspec.structs.fields(kind)} <= told


def test_every_gate_and_phase_stands_in_the_documentation() -> None:
    text = PAGE.read_text()
    for name in (*GATES, "canary 5 %", *(phase for phase in Phase if phase is not Phase.CANARY)):
        assert f"`{name}`" in text


def test_the_files_in_the_documentation_are_right() -> None:
    text = PAGE.read_text()
    files = [one for one in re.findall(r"```yaml\n(.*?)```", text, re.S) if "candidate:" in one]
    assert len(files) >= 2
    for one in files:
        read_spec(one.encode(), "docs")
