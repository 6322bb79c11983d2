"""Experiments, logs and counts for tests, with what a test does not care about filled in."""

from __future__ import annotations

from typing import Any

from penstock.evidence.means import Moments
from penstock.rollout.experiment import actions
from penstock.rollout.experiment.spec import ExperimentSpec
from penstock.rollout.experiment.spec_file import read_experiment
from penstock.rollout.experiment.state import ExperimentState, experiment_of
from penstock.rollout.state import ModelRouting
from penstock.stores.experiment_log import ExperimentTally, MetricTally, VariantTally

NOW_MS = 1_700_000_000_000
FIELDS: dict[str, Any] = {
    "model": "m",
    "name": "first",
    "variants": [{"name": "control", "version": 1}, {"name": "b", "version": 2}],
    "key": {"header": "x-user"},
    "goals": [{"metric": "spent", "min_effect": 0.5}],
}


def spec_of(**fields: Any) -> ExperimentSpec:
    return read_experiment({**FIELDS, **fields}, "test")


def running(spec: ExperimentSpec, now_ms: int = NOW_MS) -> ModelRouting:
    return actions.start(spec, None, [1, 2, 3], "tester", now_ms)


def state_of(routing: ModelRouting) -> ExperimentState:
    state = experiment_of(routing)
    assert state is not None
    return state


def numbers(count: int, mean: float, deviation: float = 1.0) -> MetricTally:
    """A metric of units whose values have this mean and deviation."""
    moments = Moments(count, mean, count * deviation**2)
    return MetricTally(moments, 0, 0, mean - 3 * deviation, mean + 3 * deviation)


def yes_no(count: int, ones: int) -> MetricTally:
    """A metric of units that said yes or no."""
    return MetricTally(Moments.of(count, ones, ones), ones, count - ones, 0.0, 1.0)


def tally_of(metric: str = "spent", **told: MetricTally) -> ExperimentTally:
    """A log in which every unit has an outcome."""
    return ExperimentTally(
        {name: VariantTally(one.moments.count, 0, {metric: one}) for name, one in told.items()}
    )
