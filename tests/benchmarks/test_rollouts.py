"""The simulation of rollouts: what it plays, and what it makes of it."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.rollout_peeking import peek
from benchmarks.rollout_play import GOOD, PLAN, play
from benchmarks.rollout_traffic import Traffic, Version
from benchmarks.rollouts import against_theory, summarise
from penstock.evidence.samples import at_least
from penstock.rollout.plan import CANDIDATE, REFERENCE


def test_requests_are_dealt_out_by_weight_and_counted_by_stage() -> None:
    traffic = Traffic(GOOD, Version(error_ratio=1.0), rps=1000, seed=1)

    first, more = traffic.second("one", 10), traffic.second("one", 10)
    anew = traffic.second("two", 0)

    new, old = more.variants[CANDIDATE], more.variants[REFERENCE]
    assert new.errors == new.requests == pytest.approx(200, abs=60)
    assert sum(new.latency) == sum(new.predictions.values()) == 0
    assert sum(old.latency) == sum(old.predictions.values()) == old.requests - old.errors
    assert first.variants[REFERENCE].requests < old.requests
    assert anew.stage == "two"
    assert anew.variants[CANDIDATE].requests == 0


def test_latencies_are_a_distribution() -> None:
    chances = Version(median_s=0.01).latency_chances()

    assert chances.sum() == pytest.approx(1)
    assert (chances >= 0).all()
    assert np.cumsum(chances)[65] == pytest.approx(0.5, abs=0.1)  # 20 us * 1.1^65 is 9.8 ms


def test_a_good_version_gets_through_and_a_failing_one_does_not() -> None:
    good = play(GOOD, rps=4000, seed=1)
    bad = play(Version(error_ratio=0.05), rps=100, seed=1)

    assert (good.phase, good.gate, good.stage) == ("done", "", "bake 100 %")
    assert good.looks >= sum(step.min_time_s for step in PLAN.steps) + PLAN.bake.min_time_s
    assert (bad.phase, bad.stage) == ("rolled back", "canary 5 %")
    assert bad.gate.startswith("error_rate")
    assert summarise([good, bad])["rolled_back"]["estimate"] == 0.5
    needed = at_least(0.001, 0.05, 0.05, PLAN.false_rollback / 16)
    assert against_theory([good, bad])["ratio"]["mean"] == pytest.approx(bad.requests / needed)


def test_peeking_ruins_the_test_that_is_made_for_one_look() -> None:
    found = peek(40)

    assert found["fixed"][-1] > 0.1
    assert found["ours"][-1] < 0.1
    assert found["fixed"] == sorted(found["fixed"])
