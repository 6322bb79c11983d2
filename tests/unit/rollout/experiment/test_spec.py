"""experiment.yaml: what is read, and what each mistake is told."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.core.errors import ConfigError, InvalidArgument
from penstock.rollout.experiment.check import checked
from penstock.rollout.experiment.spec_file import read_experiment
from tests.unit.rollout.experiment.values import FIELDS, spec_of

YAML = b"""
model: recommender
name: bigger-model
variants:
  - {name: control, version: 1, weight: 90}
  - {name: bigger, version: 2, weight: 10}
key: {header: x-user}
goals:
  - {metric: clicked, kind: rate, min_effect_ratio: 0.02, missing: zero}
guardrails:
  - {metric: error_rate, max_loss: 0.005}
  - {metric: latency, quantile: 0.95, max_loss_ratio: 0.2}
mode: thompson
thompson: {floor_ratio: 0.1, interval_s: 10}
"""


def test_a_file_is_read() -> None:
    spec = checked(read_experiment(YAML, "experiment.yaml"))
    assert [one.weight for one in spec.variants] == [90, 10]
    assert (spec.control, spec.followed.metric) == ("control", "clicked")
    assert spec.guardrails[1].quantile == 0.95


def test_without_weights_the_variants_share_evenly() -> None:
    assert [one.weight for one in checked(spec_of()).variants] == [50, 50]


def test_the_level_is_shared_out_over_all_comparisons() -> None:
    three = [*FIELDS["variants"], {"name": "c", "version": 3}]
    spec = spec_of(variants=three, guardrails=[{"metric": "error_rate", "max_loss": 0.01}])
    assert spec.level_each == pytest.approx(0.05 / 4)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"model: [", "not valid YAML"),
        (b"- 1", "$: expected a mapping"),
        (YAML + b"leevl: 0.1", "did you mean 'level'?"),
        (YAML + b"level: 0.7", "$.level"),
        (YAML + b"max_duration_s: 0", "$.max_duration_s"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_by_place(content: bytes, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_experiment(content, "experiment.yaml")
    assert caught.value.message.startswith("experiment.yaml")
    assert text in caught.value.message


GOAL = {"metric": "spent", "min_effect": 0.5}
CONTROL, B = FIELDS["variants"]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"variants": [CONTROL]}, "variants: expected two or more to compare, got 1"),
        ({"variants": [CONTROL, CONTROL]}, "expected each name once"),
        ({"variants": [{**CONTROL, "weight": 60}, B]}, "'b': weight: expected more than 0"),
        (
            {"variants": [{**CONTROL, "weight": 60}, {**B, "weight": 30}]},
            "expected weights that sum to 100 percent, got 90",
        ),
        ({"goals": []}, "goals: expected at least one"),
        ({"goals": [GOAL, GOAL]}, "expected each metric once, got 'spent' 2 times"),
        ({"goals": [{"metric": "spent"}]}, "goals[0]: expected exactly one of 'min_effect'"),
        ({"goals": [{**GOAL, "min_effect_ratio": 0.1}]}, "got both"),
        ({"goals": [{**GOAL, "metric": "latency"}]}, "can be a guardrail only"),
        ({"goals": [{**GOAL, "kind": "rate", "min_effect": 2}]}, "less than 1 for a rate"),
        ({"guardrails": [{"metric": "error_rate", "max_loss_ratio": 0.1}]}, "takes 'max_loss'"),
        ({"guardrails": [{"metric": "latency", "max_loss": 0.1}]}, "takes 'max_loss_ratio'"),
        ({"guardrails": [{"metric": "spent"}]}, "guardrails[0]: expected exactly one"),
        ({"mode": "thompson", "thompson": {"metric": "x"}}, "one of the goals spent, got 'x'"),
        ({"mode": "thompson", "thompson": {"floor_ratio": 0.5}}, "expected less than 1/2"),
        ({"key": {"header": "x-user", "client": True}}, "key"),
    ],
)
def test_fields_that_do_not_fit_together_are_named(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        checked(spec_of(**fields))
    assert text in caught.value.message
