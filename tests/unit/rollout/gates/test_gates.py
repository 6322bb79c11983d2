"""What each gate says: of clear cases, of unclear ones, and of nothing."""

from __future__ import annotations

import random

import msgspec
import pytest

from penstock.evidence.verdict import Verdict
from penstock.rollout.gates.gates import judge
from penstock.rollout.gates.prometheus import read_verdict
from penstock.rollout.plan import CANDIDATE, REFERENCE
from penstock.rollout.seen import Reading
from penstock.rollout.spec import (
    AgreementGate,
    ErrorRateGate,
    Gate,
    LatencyGate,
    OutcomeGate,
    PredictionShiftGate,
    PrometheusGate,
)
from penstock.rollout.state import GateResult, Phase
from penstock.router.counts import PairCounts, StageCounts, VariantCounts
from penstock.router.route import RoutingKey
from tests.unit.rollout.rollouts import (
    SHADOW,
    a_spec,
    a_state,
    a_variant,
    copies,
    latencies,
    moments,
    seen_of,
)

PASS, FAIL, OPEN = Verdict.PASS, Verdict.FAIL, Verdict.NEED_MORE_DATA
PROMETHEUS = PrometheusGate(url="http://p", query="q", min=1, max=2, consecutive=3)


def in_canary(
    gate: Gate, candidate: VariantCounts | None = None, reference: VariantCounts | None = None
) -> GateResult:
    """What a gate says of the counts of a step."""
    state = a_state(Phase.CANARY, spec=a_spec(gates=(gate,)))
    (result,) = judge(state, seen_of(state, candidate, reference))
    return result


def in_shadow(
    gate: Gate, pairs: PairCounts | None, reference: VariantCounts | None = None
) -> GateResult:
    """What a gate says of the counts of a shadow."""
    shadow = msgspec.structs.replace(SHADOW, gates=(gate,))
    state = a_state(Phase.SHADOW, spec=a_spec(shadow=shadow))
    (result,) = judge(state, seen_of(state, None, reference, pairs=pairs))
    return result


@pytest.mark.parametrize(
    ("candidate", "reference", "verdict"),
    [
        (a_variant(20_000, 20), a_variant(20_000, 20), PASS),
        (a_variant(412, 21), a_variant(7801, 8), FAIL),
        (a_variant(400, 0), a_variant(7600, 0), OPEN),
        (a_variant(40_000, 120), a_variant(40_000, 40), PASS),  # worse for certain, yet allowed
    ],
)
def test_error_rate(candidate: VariantCounts, reference: VariantCounts, verdict: Verdict) -> None:
    assert in_canary(ErrorRateGate(max_increase=0.005), candidate, reference).verdict is verdict


def test_error_rate_tells_its_numbers() -> None:
    told = in_canary(ErrorRateGate(), a_variant(412, 21), a_variant(7801, 8))
    assert told.message == (
        "the candidate fails 5.1 % of 412 requests, the reference 0.103 % of 7,801: worse at the "
        "level 0.167 %"
    )
    assert (told.gate, told.bound, told.samples) == ("error_rate <= +0.5 points", 0.005, 412)
    assert told.candidate == pytest.approx(21 / 412)
    assert told.reference == pytest.approx(8 / 7801)
    assert (told.low, told.high, told.needed) == (None, None, None)


def test_an_open_gate_tells_about_how_many_more_it_needs() -> None:
    told = in_canary(ErrorRateGate(), a_variant(400), a_variant(7600))
    assert told.needed is not None
    assert 0 < told.needed < 100_000
    enough = told.samples + 3 * told.needed
    assert in_canary(ErrorRateGate(), a_variant(enough), a_variant(19 * enough)).verdict is PASS


def test_one_that_is_worse_than_allowed_needs_no_more_to_pass() -> None:
    told = in_canary(ErrorRateGate(), a_variant(100, 1), a_variant(1900, 2))
    assert (told.verdict, told.needed) == (OPEN, None)


@pytest.mark.parametrize(("bucket", "verdict"), [(60, PASS), (75, FAIL), (62, PASS), (63, PASS)])
def test_latency(bucket: int, verdict: Verdict) -> None:
    told = in_canary(
        LatencyGate(max_ratio=1.5), a_variant(20_000, bucket=bucket), a_variant(20_000)
    )
    assert told.verdict is verdict


def test_latency_tells_its_numbers() -> None:
    slow = a_variant(5000, bucket=75)
    told = in_canary(LatencyGate(max_ratio=1.5), slow, a_variant(5000))
    assert told.message.startswith("p99 of the candidate is ")
    assert " ms over 5,000 requests, of the reference " in told.message
    assert told.message.endswith(" at the level 0.167 %")
    assert told.candidate is not None
    assert told.reference is not None
    assert told.candidate / told.reference == pytest.approx(1.1**15, rel=0.2)
    assert told.low is not None
    assert told.low > 1.5


def test_latency_of_a_tail() -> None:
    tail = VariantCounts(requests=20_000, latency=latencies({60: 19_000, 90: 1000}))
    assert in_canary(LatencyGate(quantile=0.99), tail, a_variant(20_000)).verdict is FAIL
    assert in_canary(LatencyGate(quantile=0.5), tail, a_variant(20_000)).verdict is PASS


def test_few_answers_say_nothing_of_a_tail() -> None:
    told = in_canary(LatencyGate(), a_variant(30), a_variant(30))
    assert told.verdict is OPEN


@pytest.mark.parametrize(
    ("pairs", "verdict"),
    [
        (copies(5000, 4950), PASS),
        (copies(5000, 4700), FAIL),
        (copies(40, 40), OPEN),
        (copies(100, 60), FAIL),
        (copies(20_000, 19_600), PASS),  # no more than wanted, which is within the slack
        (copies(200_000, 195_000), FAIL),  # within the slack, and for certain less than wanted
    ],
)
def test_agreement(pairs: PairCounts, verdict: Verdict) -> None:
    assert in_shadow(AgreementGate(min_rate=0.98, slack=0.01), pairs).verdict is verdict


def test_agreement_tells_its_numbers() -> None:
    told = in_shadow(AgreementGate(min_rate=0.98, slack=0.01), copies(400, 396))
    assert (told.verdict, told.candidate, told.samples) == (OPEN, 0.99, 400)
    assert told.message.startswith("99 % of 400 answers agree: it may be 9")
    assert told.low is not None
    assert told.high is not None
    assert told.low < 0.97 < 0.99 < told.high
    assert told.needed is not None


def test_a_copy_that_failed_agrees_with_nothing() -> None:
    told = in_shadow(AgreementGate(min_rate=0.98, slack=0.01), copies(2000, 2000, errors=2000))
    assert told.verdict is FAIL
    assert told.message.startswith("50 % of 4,000 answers agree (2,000 failed): at most ")


def test_copies_count_as_the_shadows_requests() -> None:
    stable = a_variant(2000)
    failing = copies(100, 100, errors=400)
    assert in_shadow(ErrorRateGate(), failing, stable).verdict is FAIL
    assert in_shadow(ErrorRateGate(), failing, stable).samples == 500
    assert in_shadow(LatencyGate(), copies(20_000, 0), a_variant(20_000)).verdict is PASS


@pytest.mark.parametrize(
    ("candidate", "verdict"),
    [({"cat": 5000, "dog": 5000}, PASS), ({"cat": 9900, "dog": 100}, FAIL), ({"cat": 3}, OPEN)],
)
def test_prediction_shift(candidate: dict[str, int], verdict: Verdict) -> None:
    new = a_variant(sum(candidate.values()), predictions=candidate)
    old = a_variant(20_000, predictions={"cat": 10_000, "dog": 10_000})
    told = in_canary(PredictionShiftGate(max_distance=0.1), new, old)
    assert told.verdict is verdict
    assert told.samples == new.requests


@pytest.mark.parametrize(
    ("goal", "mean", "verdict"),
    [
        ("increase", 10.0, PASS),
        ("increase", 8.0, FAIL),
        ("increase", 12.0, PASS),
        ("decrease", 12.0, FAIL),
        ("decrease", 8.0, PASS),
    ],
)
def test_outcome(goal: str, mean: float, verdict: Verdict) -> None:
    gate = msgspec.convert(
        {"metric": "outcome", "name": "clicks", "goal": goal, "max_loss": 0.5}, OutcomeGate
    )
    state = a_state(Phase.CANARY, spec=a_spec(gates=(gate,)))
    told = {CANDIDATE: moments(5000, mean), REFERENCE: moments(5000, 10.0)}
    (result,) = judge(state, seen_of(state, outcomes={"clicks": told}))
    assert result.verdict is verdict
    assert "over 5,000 outcomes of the candidate, 10 over 5,000" in result.message


def test_few_outcomes_need_more() -> None:
    gate = OutcomeGate(name="clicks", max_loss=0.1)
    state = a_state(Phase.CANARY, spec=a_spec(gates=(gate,)))
    told = {CANDIDATE: moments(50, 10.0), REFERENCE: moments(50, 10.0)}
    (result,) = judge(state, seen_of(state, outcomes={"clicks": told}))
    assert result.verdict is OPEN
    assert result.needed is not None


@pytest.mark.parametrize(
    ("value", "said"),
    [(1.5, PASS), (1.0, PASS), (2.0, PASS), (0.9, FAIL), (2.1, FAIL), (None, OPEN)],
)
def test_one_value_of_prometheus(value: float | None, said: Verdict) -> None:
    assert read_verdict(PROMETHEUS, value) is said
    assert read_verdict(PROMETHEUS, float("nan")) is OPEN


@pytest.mark.parametrize(
    ("reading", "verdict"),
    [
        (Reading(1.5, in_a_row=3), PASS),
        (Reading(1.5, in_a_row=2), OPEN),
        (Reading(9.0, in_a_row=3), FAIL),
        (Reading(9.0, in_a_row=2), OPEN),
        (Reading(None, "no such metric", in_a_row=99), OPEN),
        (None, OPEN),
    ],
)
def test_prometheus_has_to_say_it_several_times(reading: Reading | None, verdict: Verdict) -> None:
    state = a_state(Phase.CANARY, spec=a_spec(gates=(PROMETHEUS,)))
    readings = {} if reading is None else {0: reading}
    (result,) = judge(state, seen_of(state, prometheus=readings))
    assert result.verdict is verdict
    assert reading is None or reading.why in result.message


ALL_OF_CANARY = (
    ErrorRateGate(),
    LatencyGate(),
    PredictionShiftGate(),
    OutcomeGate(name="clicks", max_loss=1),
    PROMETHEUS,
)


@pytest.mark.parametrize("gate", ALL_OF_CANARY, ids=lambda gate: type(gate).__name__)
def test_no_requests_are_neither_good_nor_bad(gate: Gate) -> None:
    for candidate, reference in ((None, None), (None, a_variant(1000)), (a_variant(1000), None)):
        told = in_canary(gate, candidate, reference)
        assert (told.verdict, told.needed) == (OPEN, None)


@pytest.mark.parametrize("gate", [AgreementGate(), ErrorRateGate(), LatencyGate()])
def test_no_copies_are_neither_good_nor_bad(gate: Gate) -> None:
    for pairs in (None, PairCounts(), PairCounts(shed=1000)):
        assert in_shadow(gate, pairs, a_variant(1000)).verdict is OPEN


def test_who_has_no_answers_is_told() -> None:
    assert in_canary(LatencyGate()).message == "no answers of either version yet"
    told = in_canary(ErrorRateGate(), a_variant(10))
    assert told.message == "no answers of the reference yet"
    assert in_canary(ErrorRateGate(), None, a_variant(1)).message.endswith("the candidate yet")


def test_counts_of_another_stage_do_not_count() -> None:
    state = a_state(Phase.CANARY, 1)
    other = seen_of(a_state(Phase.CANARY, 0), a_variant(5000, 5000), a_variant(5000))
    assert {gate.verdict for gate in judge(state, other)} == {OPEN}


def test_the_bake_is_held_against_what_was_counted_before_it() -> None:
    state = a_state(Phase.BAKE)
    good = StageCounts("digits-1/canary/1", {REFERENCE: a_variant(20_000, 20)})
    state = msgspec.structs.replace(state, baseline=good)
    now = seen_of(state, a_variant(20_000, 20), a_variant(5, 5))
    assert {gate.verdict for gate in judge(state, now)} == {PASS}
    burst = seen_of(state, a_variant(20_000, 900))
    assert judge(state, burst)[0].verdict is FAIL
    without = msgspec.structs.replace(state, baseline=None)
    assert {gate.verdict for gate in judge(without, burst)} == {OPEN}


def test_the_test_that_needs_equal_shares_is_not_used_in_the_bake() -> None:
    few = a_variant(400, 7)
    canary = a_state(Phase.CANARY)
    assert judge(canary, seen_of(canary, few, a_variant(20_000, 20)))[0].verdict is FAIL
    bake = msgspec.structs.replace(
        a_state(Phase.BAKE), baseline=StageCounts("s", {REFERENCE: a_variant(20_000, 20)})
    )
    assert judge(bake, seen_of(bake, few))[0].verdict is OPEN


def test_the_test_that_needs_equal_shares_is_not_used_with_a_key_nor_in_a_shadow() -> None:
    few, many = a_variant(400, 7), a_variant(20_000, 20)
    keyed = a_state(Phase.CANARY, spec=a_spec(key=RoutingKey(header="x-user")))
    assert judge(keyed, seen_of(keyed, few, many))[0].verdict is OPEN
    assert in_shadow(ErrorRateGate(), copies(393, 393, errors=7), many).verdict is OPEN


def test_with_a_key_a_broken_canary_takes_less_than_twice_as_many_requests() -> None:
    def needed(key: RoutingKey) -> int:
        state = a_state(Phase.CANARY, spec=a_spec(key=key, false_rollback=0.002))
        for errors in range(1, 50):
            new, old = a_variant(20 * errors, errors), a_variant(380 * errors, 19 * errors // 50)
            if judge(state, seen_of(state, new, old))[0].verdict is FAIL:
                return 20 * errors
        raise AssertionError("never rolled back")

    without = needed(RoutingKey())
    assert without <= 100
    assert needed(RoutingKey(client=True)) <= 2 * without


def test_one_large_request_moves_no_gate() -> None:
    """Parts of copies: of 2,000 copies one of 10,000 rows differs in each."""
    odd = copies(2000, 1999)
    assert in_shadow(AgreementGate(), odd).verdict is PASS
    one = msgspec.structs.replace(copies(1, 0), agreed=0.0)
    assert in_shadow(AgreementGate(), one).verdict is OPEN
    parts = msgspec.structs.replace(copies(2000, 0), agreed=1994.25)
    told = in_shadow(AgreementGate(), parts)
    assert (told.verdict, told.samples, told.candidate) == (PASS, 2000, 1994.25 / 2000)


def test_the_same_rollout_twice_is_rarely_rolled_back() -> None:
    """Looked at again and again, equal versions fail less often than the level says."""
    spec = a_spec(gates=(ErrorRateGate(max_increase=0.001),), false_rollback=0.1)
    state = a_state(Phase.CANARY, spec=spec)
    dice, failed, trials = random.Random(1), 0, 80
    for _ in range(trials):
        counts = {CANDIDATE: [0, 0], REFERENCE: [0, 0]}
        for _ in range(20):
            for _ in range(25):
                side = counts[CANDIDATE if dice.random() < 0.3 else REFERENCE]
                side[0] += 1
                side[1] += dice.random() < 0.1
            new, old = (a_variant(*counts[name]) for name in (CANDIDATE, REFERENCE))
            if judge(state, seen_of(state, new, old))[0].verdict is FAIL:
                failed += 1
                break
    assert failed / trials < 0.1
