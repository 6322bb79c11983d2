"""What an experiment says: the sample ratio first, then each goal and guardrail."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.evidence.means import Moments
from penstock.evidence.verdict import Interval
from penstock.rollout.experiment.analysis import analyse
from penstock.rollout.experiment.measures import judge_goal, judge_guardrail, side_of
from penstock.rollout.experiment.result import ExperimentResult, Finding
from penstock.rollout.experiment.spec import Goal
from penstock.rollout.sentences import about
from penstock.router.counts import NUM_LATENCIES, StageCounts, VariantCounts
from penstock.stores.experiment_log import ExperimentTally, VariantTally
from tests.unit.rollout.experiment.values import (
    numbers,
    running,
    spec_of,
    state_of,
    tally_of,
    yes_no,
)

NOTHING = StageCounts()


def said(tally: ExperimentTally, counts: StageCounts = NOTHING, **fields: Any) -> ExperimentResult:
    return analyse(state_of(running(spec_of(**fields))), tally, counts)


def means(mean: float, count: int = 4000) -> ExperimentTally:
    return tally_of(control=numbers(count, 10.0), b=numbers(count, mean))


@pytest.mark.parametrize(
    ("mean", "finding", "sentence"),
    [
        (11.0, Finding.BETTER, "'b' is better than 'control': spent 11 instead of 10, +1 (+10 %)"),
        (9.0, Finding.WORSE, "'b' is worse than 'control': spent 9 instead of 10, -1 (-10 %)"),
        (10.1, Finding.NO_DIFFERENCE, "No difference worth having between 'b' and 'control'"),
    ],
)
def test_a_goal_is_decided(mean: float, finding: Finding, sentence: str) -> None:
    result = said(means(mean))
    assert result.finding is finding
    assert result.sentence.startswith(sentence)
    (goal,) = result.comparisons
    assert goal.low is not None
    assert goal.high is not None
    assert goal.low < mean - 10 < goal.high
    assert goal.needed is None


def test_where_less_is_better_the_finding_turns() -> None:
    goals = [{"metric": "spent", "min_effect": 0.5, "goal": "decrease"}]
    assert said(means(9.0), goals=goals).finding is Finding.BETTER
    assert said(means(11.0), goals=goals).finding is Finding.WORSE


def test_too_little_data_says_about_how_much_more() -> None:
    result = said(means(10.2, 60))
    (goal,) = result.comparisons
    assert goal.finding is Finding.NEED_MORE_DATA
    assert goal.needed is not None
    enough = (goal.samples + goal.control_samples + goal.needed) // 2
    assert result.sentence.startswith("Not enough data yet to compare 'b' with 'control': spent")
    assert f"about {about(goal.needed)} more units." in result.sentence
    assert said(means(10.2, 2 * enough)).finding is Finding.NO_DIFFERENCE
    assert said(means(10.2, enough // 4)).finding is Finding.NEED_MORE_DATA


@pytest.mark.parametrize("tally", [ExperimentTally(), means(10.0, 3)])
def test_next_to_no_data_is_not_enough(tally: ExperimentTally) -> None:
    result = said(tally)
    assert result.finding is Finding.NEED_MORE_DATA
    assert result.sentence.startswith("Not enough data yet")
    assert b"NaN" not in msgspec.json.encode(result)


def test_a_broken_split_is_found_before_anything_else_is_said() -> None:
    tally = tally_of(control=numbers(4000, 10.0), b=numbers(4600, 12.0))
    result = said(tally)
    assert result.finding is Finding.NO_VERDICT
    assert "control 4,000 of 8,600 (46.5 % instead of 50 %)" in result.blocked
    assert result.sentence.startswith("No verdict: the variants did not meet their shares")
    assert [one.finding for one in result.comparisons] == [Finding.NO_VERDICT]
    assert result.comparisons[0].low is None


def test_a_split_as_it_was_meant_is_let_pass() -> None:
    variants = [
        {"name": "control", "version": 1, "weight": 90},
        {"name": "b", "version": 2, "weight": 10},
    ]
    tally = tally_of(control=numbers(9050, 10.0), b=numbers(950, 11.0))
    assert said(tally, variants=variants).finding is Finding.BETTER


def test_rates_of_yes_and_no_are_exact_and_told_in_percent() -> None:
    goals = [{"metric": "bought", "kind": "rate", "min_effect": 0.02}]
    tally = tally_of("bought", control=yes_no(5000, 500), b=yes_no(5000, 750))
    result = said(tally, goals=goals)
    assert result.finding is Finding.BETTER
    assert "bought 15 % instead of 10 %, +5 points" in result.sentence


def test_a_rate_whose_outcomes_are_no_yes_or_no_has_no_verdict() -> None:
    goals = [{"metric": "spent", "kind": "rate", "min_effect": 0.02}]
    result = said(means(11.0), goals=goals)
    assert result.finding is Finding.NO_VERDICT
    assert "make it 'kind: mean'" in result.sentence


def test_units_without_an_outcome_count_as_zero_where_that_is_said() -> None:
    told = yes_no(50, 50)  # only those who bought are told
    tally = VariantTally(1000, 20, {"bought": told})
    goal = Goal(metric="bought", kind="rate", missing="zero", min_effect=0.01)
    side = side_of(goal, tally)
    assert (side.ones, side.zeros, side.moments.count) == (50, 930, 980)
    assert side.moments.mean == pytest.approx(50 / 980)
    as_told = side_of(msgspec.structs.replace(goal, missing="excluded"), tally)
    assert as_told.moments == Moments.of(50, 50, 50)


def test_outcomes_of_one_variant_only_are_pointed_out() -> None:
    tally = ExperimentTally(
        {
            "control": VariantTally(1000, 0, {"spent": numbers(900, 10)}),
            "b": VariantTally(1000, 0, {"spent": numbers(400, 10)}),
        }
    )
    assert any("unlike often (control 90 %, b 40 %)" in note for note in said(tally).notes)


def test_losses_are_told() -> None:
    tally = msgspec.structs.replace(means(10.0), dropped=7, repeated=5, waiting=3)
    mixed = msgspec.structs.replace(tally.variants["b"], mixed_units=400)
    tally.variants["b"] = mixed
    notes = " ".join(said(tally, StageCounts(unkeyed=9)).notes)
    for text in (
        "7 exposures were dropped",
        "9 requests had no routing key",
        "5 requests came with an id that another one had",
        "3 outcomes are kept aside",
        "400 units met more than one variant and are left out (many",
    ):
        assert text in notes


GUARDED = [{"metric": "error_rate", "max_loss": 0.02}]


def failing(errors: int, requests: int = 5000) -> StageCounts:
    counted = {"control": VariantCounts(requests, 50), "b": VariantCounts(requests, errors)}
    return StageCounts("s", counted)


@pytest.mark.parametrize(
    ("errors", "finding"),
    [(50, Finding.KEPT), (120, Finding.NEED_MORE_DATA), (400, Finding.BROKEN)],
)
def test_failed_requests_guard(errors: int, finding: Finding) -> None:
    result = said(means(11.0), failing(errors), guardrails=GUARDED)
    (rail,) = [one for one in result.comparisons if one.role == "guardrail"]
    assert rail.finding is finding
    assert rail.counted == "requests"
    told = {
        Finding.KEPT: "'b' is better",
        Finding.NEED_MORE_DATA: "Guardrails not decided yet: error_rate",
        Finding.BROKEN: "'b' breaks the guardrail error_rate: 8 % of the requests fail",
    }
    assert told[finding] in result.sentence


def test_a_broken_guardrail_is_told_even_where_the_split_is_broken() -> None:
    tally = tally_of(control=numbers(4000, 10.0), b=numbers(4600, 12.0))
    result = said(tally, failing(400), guardrails=GUARDED)
    assert result.blocked
    assert "breaks the guardrail" in result.sentence


def test_latency_guards() -> None:
    def latency(bucket: int, count: int = 20000) -> VariantCounts:
        histogram = [0] * NUM_LATENCIES
        histogram[bucket] = count
        return VariantCounts(count, latency=histogram)

    guardrails = [{"metric": "latency", "quantile": 0.9, "max_loss_ratio": 0.5}]
    for bucket, count, finding in (
        (60, 20000, Finding.KEPT),
        (70, 20000, Finding.BROKEN),
        (60, 30, Finding.NEED_MORE_DATA),
    ):
        counts = StageCounts("s", {"control": latency(60), "b": latency(bucket, count)})
        result = said(means(10.0), counts, guardrails=guardrails)
        assert result.comparisons[-1].finding is finding
        assert "p90" in result.comparisons[-1].message


def test_a_guardrail_of_outcomes_is_kept_unless_the_loss_is_too_large() -> None:
    guardrails = [{"metric": "spent", "max_loss_ratio": 0.05}]
    for mean, finding in ((9.9, Finding.KEPT), (9.0, Finding.BROKEN)):
        result = said(means(mean), guardrails=guardrails)
        assert result.comparisons[-1].finding is finding
        assert result.comparisons[-1].bound == pytest.approx(0.5)


def test_several_variants_are_each_compared_and_the_best_one_is_spoken_of() -> None:
    variants = [{"name": name, "version": 1} for name in ("control", "b", "c")]
    sides = {"control": numbers(3000, 10), "b": numbers(3000, 11), "c": numbers(3000, 12)}
    result = said(tally_of(**sides), variants=variants)
    assert [(one.variant, one.finding) for one in result.comparisons] == [
        ("b", Finding.BETTER),
        ("c", Finding.BETTER),
    ]
    assert result.sentence.startswith("'c' is better than 'control'")
    assert result.level_each == pytest.approx(0.025)


def test_with_shares_that_move_there_is_no_verdict_on_goals_and_guardrails() -> None:
    result = said(means(12.0), failing(400), mode="thompson", guardrails=GUARDED)
    goal, rail = result.comparisons
    assert (goal.finding, goal.low, goal.effect) == (Finding.NO_VERDICT, None, pytest.approx(2.0))
    assert (rail.finding, rail.low, rail.effect) == (Finding.NO_VERDICT, None, pytest.approx(0.07))
    assert result.sentence.startswith("The shares follow spent")
    assert any(
        "goals and guardrails have no verdict; repeat the experiment with 'mode: fixed'" in note
        for note in result.notes
    )
    assert said(means(12.0), mode="thompson").sentence == (
        "The shares follow spent: 'control' 50 %, 'b' 50 %."
    )


_BOUNDS = st.floats(-10, 10)


@given(_BOUNDS, _BOUNDS, st.floats(0.01, 5))
def test_a_finding_never_contradicts_its_interval(one: float, other: float, bound: float) -> None:
    gain = Interval(min(one, other), max(one, other), (one + other) / 2)
    match judge_goal(gain, bound):
        case Finding.BETTER:
            assert gain.low > 0
            assert gain.high >= bound
        case Finding.WORSE:
            assert gain.high < 0
            assert gain.low <= -bound
        case Finding.NO_DIFFERENCE:
            assert max(abs(gain.low), abs(gain.high)) < bound
        case finding:
            assert finding is Finding.NEED_MORE_DATA
    match judge_guardrail(gain, bound):
        case Finding.KEPT:
            assert gain.low > -bound
        case Finding.BROKEN:
            assert gain.high < -bound
        case finding:
            assert finding is Finding.NEED_MORE_DATA
