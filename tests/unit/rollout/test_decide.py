"""Where a rollout goes: each step of the way, what stops it, and what turns it back."""

from __future__ import annotations

import msgspec
import pytest

from penstock.evidence.verdict import Verdict
from penstock.rollout.actions import abort, pause, promote, resume
from penstock.rollout.decide import CONTROLLER, decide
from penstock.rollout.moves import MAX_HISTORY
from penstock.rollout.plan import CANDIDATE, REFERENCE
from penstock.rollout.routes import route_of
from penstock.rollout.seen import Evidence, Readiness
from penstock.rollout.spec import Bake, GoldenRequest, OutcomeGate, RolloutSpec
from penstock.rollout.state import Phase, RolloutState
from penstock.router.counts import StageCounts
from tests.unit.rollout.rollouts import (
    READY,
    SHADOW,
    START_MS,
    a_routing,
    a_spec,
    a_state,
    a_variant,
    after,
    copies,
    moments,
    seen_of,
)

GOOD = a_variant(20_000, 20)
BAD = a_variant(2000, 200)
GOLDEN = (GoldenRequest(request={"inputs": []}),)


def decided(state: RolloutState, seen: Evidence, seconds: float = 100.0) -> RolloutState:
    """The next state; there has to be one."""
    found = decide(state, seen, after(state, seconds))
    assert found is not None
    return found


def good(state: RolloutState) -> Evidence:
    """Evidence that every gate passes with."""
    pairs = copies(20_000, 19_990) if state.phase is Phase.SHADOW else None
    return seen_of(state, GOOD, GOOD, pairs=pairs, golden="")


def promoted(state: RolloutState, *, to_bake: bool = False) -> RolloutState:
    found = promote(a_routing(state), "ann", "I know", START_MS, to_bake=to_bake).rollout
    assert found is not None
    return found


def test_the_whole_way() -> None:
    state = a_state(Phase.DRAFT, spec=a_spec(shadow=SHADOW, golden=GOLDEN))
    reached = []
    while not state.phase.is_end:
        state = decided(state, good(state))
        reached.append(state.history[-1].to)
    assert reached == ["warm", "shadow", "canary 5 %", "canary 50 %", "bake", "done"]
    assert {line.who for line in state.history} == {CONTROLLER}
    assert [line.at_ms for line in state.history] == [START_MS + i * 100_000 for i in range(1, 7)]


def test_a_plan_without_shadow_and_steps() -> None:
    state = a_state(Phase.DRAFT, spec=a_spec(steps=(), gates=()))
    reached = []
    while not state.phase.is_end:
        state = decided(state, good(state))
        reached.append(state.phase)
    assert reached == [Phase.WARM, Phase.BAKE, Phase.DONE]


def test_a_transition_carries_the_gates_with_their_numbers() -> None:
    state = a_state(Phase.CANARY)
    line = decided(state, good(state)).history[-1]
    assert [gate.verdict for gate in line.gates] == [Verdict.PASS, Verdict.PASS]
    assert line.gates[0].samples == 20_000
    assert line.why == "all 2 gates pass with 20,000 requests in 1.67 min"


@pytest.mark.parametrize(
    ("seconds", "requests", "told"),
    [
        (9.9, 20_000, "0.1 s of the least time, 10 s"),
        (100, 99, "1 more requests of the candidate: 99 of 100"),
    ],
)
def test_it_waits_for_time_and_samples(seconds: float, requests: int, told: str) -> None:
    spec = a_spec(gates=())
    state = a_state(Phase.CANARY, spec=spec)
    seen = seen_of(state, a_variant(requests), GOOD)
    assert decide(state, seen, after(state, seconds)) is None
    paused = msgspec.structs.replace(
        state, spec=msgspec.structs.replace(spec, steps=(_hasty(spec), spec.steps[1]))
    )
    why = decided(paused, seen, seconds).history[-1].why
    assert told in why


def _hasty(spec: RolloutSpec) -> object:
    return msgspec.structs.replace(spec.steps[0], timeout_s=1)


def test_a_stage_of_no_gates_and_no_least_samples_still_wants_a_request() -> None:
    spec = a_spec(gates=(), bake=Bake(min_samples=0, min_time_s=0))
    state = a_state(Phase.BAKE, spec=spec)
    assert decide(state, seen_of(state, None, GOOD), after(state, 80_000)) is None
    assert decided(state, seen_of(state, a_variant(1)), 0).phase is Phase.DONE


@pytest.mark.parametrize("phase", [Phase.SHADOW, Phase.CANARY, Phase.BAKE])
def test_no_traffic_pauses_and_says_what_is_missing(phase: Phase) -> None:
    state = a_state(phase, spec=a_spec(shadow=SHADOW))
    looked = decided(state, seen_of(state), 999)
    assert (looked.phase, looked.is_paused) == (phase, False)
    paused = decided(looked, seen_of(state), 1000)
    assert (paused.phase, paused.is_paused) == (phase, True)
    line = paused.history[-1]
    assert (line.to, line.who) == ("paused", CONTROLLER)
    assert line.why.startswith("not decided within 16.7 min: ")
    assert " more requests of the candidate: 0 of " in line.why
    assert decide(paused, seen_of(state), after(paused, 1e7)) is None


def test_a_pause_tells_how_many_requests_are_missing() -> None:
    state = a_state(Phase.CANARY)
    seen = seen_of(state, a_variant(400), a_variant(7600))
    why = decided(state, seen, 1000).history[-1].why
    assert "error_rate <= +0.5 points: the candidate fails 0 % of 400 requests" in why
    assert " more needed" in why


@pytest.mark.parametrize("is_paused", [False, True])
@pytest.mark.parametrize("phase", [Phase.CANARY, Phase.BAKE])
def test_a_gate_that_fails_rolls_back_at_once(phase: Phase, is_paused: bool) -> None:
    state = a_state(phase)
    baseline = StageCounts("digits-1/canary/1", {REFERENCE: GOOD})
    state = msgspec.structs.replace(state, baseline=baseline, is_paused=is_paused)
    found = decided(state, seen_of(state, BAD, GOOD), 0)
    assert (found.phase, found.is_paused) == (Phase.ROLLED_BACK, False)
    line = found.history[-1]
    assert line.why.startswith("error_rate <= +0.5 points: the candidate fails 10 % of 2,000")
    assert line.gates[0].verdict is Verdict.FAIL
    assert found.last == line.gates


def in_bake(mean: float) -> tuple[RolloutState, Evidence]:
    """A bake whose last step has outcomes, and a candidate that did well since."""
    spec = a_spec(gates=(OutcomeGate(name="clicks", max_loss=0.1),))
    baseline = StageCounts("digits-1/canary/1", {REFERENCE: GOOD})
    state = msgspec.structs.replace(a_state(Phase.BAKE, spec=spec), baseline=baseline)
    told = {CANDIDATE: moments(400, mean), REFERENCE: moments(400, 10.0)}
    return state, seen_of(state, GOOD, outcomes={"clicks": told})


def test_the_bake_waits_for_no_outcomes() -> None:
    state, seen = in_bake(10.0)
    looked = decided(state, seen, 5)
    assert [gate.verdict for gate in looked.last] == [Verdict.NEED_MORE_DATA]
    found = decided(looked, seen, 20)
    assert found.phase is Phase.DONE
    assert found.history[-1].why == "nothing broke with 20,000 requests in 20 s"
    assert found.last[0].samples == 400


def test_outcomes_that_come_late_roll_back_in_the_bake() -> None:
    state, seen = in_bake(8.0)
    assert decided(state, seen, 5).phase is Phase.ROLLED_BACK


def test_a_step_waits_for_outcomes() -> None:
    bake, seen = in_bake(10.0)
    state = msgspec.structs.replace(bake, phase=Phase.CANARY)
    counts = seen_of(state, GOOD, GOOD).counts
    seen = msgspec.structs.replace(seen, counts=counts)
    assert decided(state, seen, 100).phase is Phase.CANARY


def test_a_shadow_that_disagrees_is_rolled_back() -> None:
    state = a_state(Phase.SHADOW, spec=a_spec(shadow=SHADOW))
    found = decided(state, seen_of(state, None, GOOD, pairs=copies(500, 300)), 0)
    assert found.phase is Phase.ROLLED_BACK
    assert found.history[-1].why.startswith("agreement >= 98 %: 60 % of 500 answers agree")


def test_a_burst_of_errors_in_the_bake_rolls_back() -> None:
    state = a_state(Phase.CANARY, 1)
    state = decided(state, good(state))
    assert state.baseline == StageCounts("digits-1/canary/1", {REFERENCE: GOOD})
    looked = decide(state, seen_of(state, a_variant(1000, 1)), after(state, 5)) or state
    assert looked.phase is Phase.BAKE
    found = decided(looked, seen_of(state, a_variant(1200, 100)), 6)
    assert found.phase is Phase.ROLLED_BACK


@pytest.mark.parametrize(
    ("readiness", "told"),
    [
        (
            Readiness(2, 1, 2, failures=("no memory",)),
            "version 2 does not answer: no memory",
        ),
        (
            Readiness(2, 1, 2, lost=1),
            "version 2 was ready and is no more in 1 of 2 serving processes",
        ),
    ],
)
@pytest.mark.parametrize("phase", [Phase.WARM, Phase.SHADOW, Phase.CANARY, Phase.BAKE])
def test_a_candidate_that_is_gone(phase: Phase, readiness: Readiness, told: str) -> None:
    state = a_state(phase, spec=a_spec(shadow=SHADOW))
    state = msgspec.structs.replace(state, is_paused=True)
    found = decided(state, seen_of(state, GOOD, GOOD, readiness=readiness), 0)
    assert found.phase is (Phase.FAILED if phase is Phase.WARM else Phase.ROLLED_BACK)
    assert found.history[-1].why == told


def test_a_nan_that_the_reference_has_not() -> None:
    state = a_state(Phase.CANARY)
    one = seen_of(state, a_variant(500, non_finite=1), a_variant(9000))
    assert (decide(state, one, after(state, 0)) or state).phase is Phase.CANARY
    sick = a_variant(500, non_finite=7)
    found = decided(state, seen_of(state, sick, a_variant(9000)), 0)
    assert found.phase is Phase.ROLLED_BACK
    assert found.history[-1].why == (
        "version 2 answered 7 of 500 requests with a NaN or an infinity, version 1 none of 9,000"
    )
    both = seen_of(state, sick, a_variant(9000, non_finite=126))
    assert (decide(state, both, after(state, 0)) or state).phase is Phase.CANARY


def test_warm_waits_for_every_process() -> None:
    state = a_state(Phase.WARM)
    for readiness in (Readiness(), Readiness(2, 1, 2), Readiness(2, 2, 1)):
        assert decide(state, Evidence(readiness=readiness), after(state, 599)) is None
    assert decided(state, Evidence(readiness=READY), 0).history[-1].why == (
        "version 2 is ready in 2 serving processes"
    )
    alone = Evidence(readiness=Readiness(1, 1, 1))
    assert decided(state, alone, 0).history[-1].why == "version 2 is ready in 1 serving process"


def test_warm_ends_where_the_candidate_does_not_get_ready() -> None:
    state = a_state(Phase.WARM)
    found = decided(state, Evidence(readiness=Readiness(2, 1, 2)), 600)
    assert found.phase is Phase.FAILED
    assert found.history[-1].why == (
        "not decided within 10 min: version 2 to be ready in all serving processes: 1 of 2"
    )
    paused = msgspec.structs.replace(state, is_paused=True)
    assert decide(paused, Evidence(readiness=Readiness(2, 1, 2)), after(state, 1e6)) is None


def test_golden_requests_come_before_any_traffic() -> None:
    state = a_state(Phase.WARM, spec=a_spec(golden=GOLDEN))
    assert decide(state, Evidence(readiness=READY), after(state, 0)) is None
    wrong = Evidence(readiness=READY, golden="output y: 3 expected, got 4")
    found = decided(state, wrong, 0)
    assert found.phase is Phase.FAILED
    assert found.history[-1].why == (
        "version 2 does not answer as it has to: output y: 3 expected, got 4"
    )
    right = decided(state, Evidence(readiness=READY, golden=""), 0)
    assert right.history[-1].why.endswith(" and answers as it has to")


def test_it_moves_on_only_where_the_versions_are_ready() -> None:
    state = a_state(Phase.CANARY)
    for readiness in (Readiness(), Readiness(2, 1, 2), Readiness(2, 2, 1)):
        seen = msgspec.structs.replace(good(state), readiness=readiness)
        assert decided(state, seen).phase is Phase.CANARY
    bake = decided(a_state(Phase.CANARY, 1), good(a_state(Phase.CANARY, 1)))
    alone = msgspec.structs.replace(good(bake), readiness=Readiness(2, 2, 0))
    assert decided(bake, alone).phase is Phase.DONE


def test_a_look_is_written_down_only_where_a_gate_says_something_new() -> None:
    state = a_state(Phase.CANARY)
    few = seen_of(state, a_variant(400), a_variant(7600))
    looked = decided(state, few, 5)
    assert [gate.verdict for gate in looked.last] == [Verdict.NEED_MORE_DATA] * 2
    assert (looked.history, looked.entered_ms) == (state.history, state.entered_ms)
    more = seen_of(state, a_variant(410), a_variant(7700))
    assert decide(looked, more, after(state, 600)) is None


def test_a_gate_that_flickers_is_written_down_every_half_minute() -> None:
    state = msgspec.structs.replace(a_state(Phase.CANARY), is_paused=True)
    few = seen_of(state, a_variant(400), a_variant(7600))
    written = []
    for second in range(100):
        found = decide(state, good(state) if second % 2 else few, after(state, second))
        if found is not None:
            state = found
            written.append(second)
    assert written == [0, 31, 62, 93]
    assert decided(state, seen_of(state, BAD, GOOD), 94).phase is Phase.ROLLED_BACK


def test_the_first_look_of_a_stage_is_written_down_at_once() -> None:
    state = a_state(Phase.CANARY)
    state = decided(state, seen_of(state, a_variant(400), a_variant(7600)), 9)
    state = decided(state, good(state), 10)
    assert (state.step, state.last) == (1, ())
    looked = decided(state, seen_of(state, a_variant(9), a_variant(9)), 0)
    assert [gate.verdict for gate in looked.last] == [Verdict.NEED_MORE_DATA] * 2


def test_a_clock_that_is_set_back_still_has_looks_written_down() -> None:
    state = a_state(Phase.CANARY)
    few = seen_of(state, a_variant(400), a_variant(7600))
    looked = msgspec.structs.replace(state, looked_ms=after(state, 3600))
    assert decided(looked, few, 5).looked_ms == after(state, 5)


def test_what_somebody_asked_for_comes_without_evidence() -> None:
    state = promoted(a_state(Phase.CANARY))
    found = decided(state, seen_of(state), 0)
    assert (found.phase, found.step, found.asked) == (Phase.CANARY, 1, None)
    line = found.history[-1]
    assert (line.to, line.who, line.why) == ("canary 50 %", "ann", "I know")
    assert len(line.gates) == 2


def test_what_fails_rolls_back_whatever_was_asked() -> None:
    state = promoted(a_state(Phase.CANARY))
    assert decided(state, seen_of(state, BAD, GOOD), 0).phase is Phase.ROLLED_BACK


def test_a_paused_rollout_goes_on_when_promoted() -> None:
    paused = msgspec.structs.replace(a_state(Phase.CANARY, 1), is_paused=True)
    found = decided(promoted(paused), seen_of(paused, BAD, BAD), 0)
    assert (found.phase, found.is_paused) == (Phase.BAKE, False)
    assert found.baseline == StageCounts("digits-1/canary/1", {REFERENCE: BAD})


def test_straight_to_the_bake() -> None:
    state = promoted(a_state(Phase.DRAFT, spec=a_spec(golden=GOLDEN)), to_bake=True)
    state = decided(state, Evidence(), 0)
    assert state.phase is Phase.WARM
    for seen in (Evidence(), Evidence(readiness=READY)):
        assert decide(state, seen, after(state, 1)) is None
    found = decided(state, Evidence(readiness=READY, golden=""), 1)
    assert (found.phase, found.baseline, found.asked) == (Phase.BAKE, None, None)


def test_paused_before_it_began() -> None:
    routing = pause(a_routing(a_state(Phase.DRAFT)), "ann", "", START_MS)
    assert routing.rollout is not None
    assert decide(routing.rollout, Evidence(), START_MS + 1) is None
    resumed = resume(routing, "ann", "", START_MS + 2).rollout
    assert resumed is not None
    assert decided(resumed, Evidence()).phase is Phase.WARM


def test_resumed_stages_have_their_time_again_and_keep_their_counts() -> None:
    state = a_state(Phase.CANARY)
    paused = decided(state, seen_of(state), 1000)
    later_ms = after(state, 5000)
    routing = resume(a_routing(paused), "ann", "traffic is back", later_ms)
    resumed = routing.rollout
    assert resumed is not None
    assert (resumed.stage, resumed.entered_ms) == (state.stage, later_ms)
    assert decide(resumed, seen_of(state), later_ms + 999_000) is None
    assert decide(resumed, good(state), later_ms + 9_000) != resumed
    assert decided(resumed, good(state), 10).step == 1


@pytest.mark.parametrize("back_s", [1, 3600, 1e6])
def test_a_clock_that_is_set_back_decides_nothing(back_s: float) -> None:
    state = a_state(Phase.CANARY, spec=a_spec(gates=()))
    assert decide(state, good(state), after(state, -back_s)) is None
    warm = a_state(Phase.WARM)
    assert decide(warm, Evidence(), after(warm, -back_s)) is None
    sick = seen_of(state, a_variant(9, non_finite=9), a_variant(90))
    assert decided(state, sick, -back_s).phase is Phase.ROLLED_BACK


def test_a_clock_that_is_set_forward_makes_up_no_requests() -> None:
    state = a_state(Phase.CANARY)
    found = decided(state, seen_of(state), 1e9)
    assert (found.phase, found.is_paused) == (Phase.CANARY, True)


@pytest.mark.parametrize("phase", [Phase.DONE, Phase.ROLLED_BACK, Phase.FAILED])
def test_ends_stay(phase: Phase) -> None:
    state = a_state(phase)
    for seen in (Evidence(), seen_of(state, BAD, GOOD), good(state)):
        assert decide(state, seen, after(state, 1e6)) is None


def test_a_rollout_that_ended_gives_the_candidate_nothing_but_after_done() -> None:
    state = a_state(Phase.CANARY)
    aborted = abort(a_routing(state), "ann", "", START_MS)
    assert aborted.rollout is not None
    assert aborted.route == route_of(aborted.rollout)
    for end in (aborted.rollout, decided(state, seen_of(state, BAD, GOOD), 0)):
        route = route_of(end)
        assert route is not None
        assert [(one.version, one.weight) for one in route.variants] == [(1, 100)]


def test_the_history_is_bounded() -> None:
    state = a_state(Phase.CANARY)
    routing = a_routing(state)
    for _ in range(60):
        routing = resume(pause(routing, "a", "", START_MS), "a", "", START_MS)
    assert routing.rollout is not None
    assert len(routing.rollout.history) == MAX_HISTORY == 100


def test_a_bake_that_follows_nothing_ends_a_candidate_that_answers_only_nans() -> None:
    state = a_state(Phase.BAKE)
    found = decided(state, seen_of(state, a_variant(20, non_finite=20)), 0)
    assert found.phase is Phase.ROLLED_BACK
    assert found.history[-1].why == (
        "version 2 answered 20 of 20 requests with a NaN or an infinity, version 1 none of 0"
    )
