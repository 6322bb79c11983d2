"""Simulated experiments that are looked at all the time: what is said is true often enough.

Small and seeded: what is held is that nothing is badly wrong; the intervals themselves are tested
where they are made.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from penstock.evidence.means import Moments
from penstock.rollout.experiment import thompson as thompson
from penstock.rollout.experiment.analysis import analyse
from penstock.rollout.experiment.result import Finding
from penstock.router.counts import StageCounts
from penstock.stores.experiment_log import ExperimentTally, MetricTally, VariantTally
from tests.unit.rollout.experiment.values import running, spec_of, state_of

LOOKS = [*range(60, 300, 40), *range(300, 4001, 200)]
EXPERIMENTS = 120
LEVEL = 0.1
GOALS: dict[str, Any] = {
    "mean": {"metric": "x", "min_effect": 0.5},
    "rate": {"metric": "x", "kind": "rate", "min_effect": 0.1},
}


def draws(kind: str, chance: np.random.Generator, level: float, size: int) -> np.ndarray:
    """Values of units: skewed numbers of this mean, or yes and no of this rate."""
    if kind == "mean":
        return chance.exponential(level, size)
    return (chance.random(size) < level).astype(float)


def side(values: np.ndarray) -> VariantTally:
    moments = Moments.of(len(values), float(values.sum()), float((values**2).sum()))
    ones, zeros = int((values == 1).sum()), int((values == 0).sum())
    told = MetricTally(moments, ones, zeros, float(values.min()), float(values.max()))
    return VariantTally(len(values), 0, {"x": told})


def findings(kind: str, level: float, other: float, seed: int) -> list[Finding]:
    """What is said at each look at one experiment of 4000 units."""
    chance = np.random.default_rng(seed)
    state = state_of(running(spec_of(goals=[GOALS[kind]], level=LEVEL)))
    is_b = chance.random(LOOKS[-1]) < 0.5
    values = np.where(
        is_b, draws(kind, chance, other, LOOKS[-1]), draws(kind, chance, level, LOOKS[-1])
    )
    said = []
    for look in LOOKS:
        seen, of_b = values[:look], is_b[:look]
        tally = ExperimentTally({"control": side(seen[~of_b]), "b": side(seen[of_b])})
        said.append(analyse(state, tally, StageCounts()).finding)
    return said


@pytest.mark.parametrize(("kind", "level"), [("mean", 1.0), ("rate", 0.1)])
def test_two_that_are_alike_are_rarely_ever_called_unlike(kind: str, level: float) -> None:
    """A/A: the level holds over all looks together; 120 experiments of 25 looks each."""
    wrong = {Finding.BETTER, Finding.WORSE, Finding.NO_VERDICT}
    ever = sum(bool(wrong & set(findings(kind, level, level, seed))) for seed in range(EXPERIMENTS))
    assert ever <= LEVEL * EXPERIMENTS


@pytest.mark.parametrize(("kind", "level", "other"), [("mean", 1.0, 1.6), ("rate", 0.1, 0.25)])
def test_a_difference_worth_having_is_found(kind: str, level: float, other: float) -> None:
    last = [findings(kind, level, other, seed)[-1] for seed in range(20)]
    assert last.count(Finding.BETTER) >= 19


def test_no_difference_is_found_out_too() -> None:
    last = [findings("mean", 1.0, 1.05, seed)[-1] for seed in range(20)]
    assert last.count(Finding.NO_DIFFERENCE) >= 18


@pytest.mark.parametrize("goal", ["increase", "decrease"])
@pytest.mark.parametrize("kind", ["mean", "rate"])
def test_shares_follow_the_outcomes_and_keep_the_floor(kind: str, goal: str) -> None:
    chance = np.random.default_rng(5)
    spec = spec_of(
        goals=[{**GOALS[kind], "goal": goal}], mode="thompson", thompson={"floor_ratio": 0.1}
    )
    tally = ExperimentTally(
        {"control": side(draws(kind, chance, 0.3, 800)), "b": side(draws(kind, chance, 0.6, 800))}
    )
    shares = thompson.shares(spec, tally, seed=1)
    best, worst = ("b", "control") if goal == "increase" else ("control", "b")
    assert shares == {best: 90.0, worst: 10.0}
    assert thompson.shares(spec, tally, seed=1) == shares


def test_shares_stay_until_each_variant_has_some_outcomes() -> None:
    spec = spec_of(goals=[GOALS["mean"]], mode="thompson")
    chance = np.random.default_rng(5)
    sides = {"control": side(chance.random(100)), "b": side(chance.random(19))}
    assert thompson.shares(spec, ExperimentTally(sides), seed=1) is None
    assert thompson.shares(spec, ExperimentTally({"control": sides["control"]}), seed=1) is None


def test_variants_alike_share_about_evenly_and_shares_sum_to_the_whole() -> None:
    names = ("control", "b", "c")
    spec = spec_of(
        goals=[GOALS["rate"]],
        mode="thompson",
        variants=[{"name": name, "version": 1} for name in names],
    )
    alike = side(np.array([0.0, 1.0] * 100))
    shares = thompson.shares(spec, ExperimentTally(dict.fromkeys(names, alike)), seed=3)
    assert shares is not None
    assert sum(shares.values()) == pytest.approx(100.0, abs=1e-9)
    assert all(25 < share < 42 for share in shares.values())
    assert not thompson.has_moved(shares, {name: share + 0.5 for name, share in shares.items()})
    assert thompson.has_moved(shares, {**shares, "b": shares["b"] + 2})
