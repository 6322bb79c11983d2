"""What people are told of where a rollout stands."""

from __future__ import annotations

import msgspec
import pytest

from penstock.evidence.verdict import Verdict
from penstock.rollout.actions import promote
from penstock.rollout.decide import decide
from penstock.rollout.explain import explanation, gates_now
from penstock.rollout.moves import enter
from penstock.rollout.seen import Evidence, Readiness
from penstock.rollout.state import Phase
from tests.unit.rollout.rollouts import (
    START_MS,
    a_routing,
    a_spec,
    a_state,
    a_variant,
    after,
    seen_of,
)


def test_a_stage_that_waits() -> None:
    state = a_state(Phase.CANARY, spec=a_spec(gates=()))
    told = explanation(state, seen_of(state, a_variant(3), a_variant(50)), after(state, 4))
    assert told == (
        "Version 2 gets 5 % of the requests. The stage 'canary 5 %' waits for 6 s of the least "
        "time, 10 s; 97 more requests of the candidate: 3 of 100."
    )


def test_a_stage_whose_gates_wait() -> None:
    state = a_state(Phase.CANARY)
    told = explanation(state, seen_of(state, a_variant(400), a_variant(7600)), after(state, 40))
    assert "waits for error_rate <= +0.5 points: the candidate fails 0 % of 400" in told
    assert " more needed" in told


def test_nothing_to_wait_for() -> None:
    state = a_state(Phase.CANARY, spec=a_spec(gates=()))
    told = explanation(state, seen_of(state, a_variant(300), a_variant(900)), after(state, 40))
    assert told.endswith("waits for nothing: it moves on at the next look.")


def test_warm() -> None:
    state = a_state(Phase.WARM)
    told = explanation(state, Evidence(readiness=Readiness(2, 1, 2)), START_MS)
    assert told == (
        "Version 2 gets 0 % of the requests. The stage 'warm' waits for version 2 to be ready in "
        "all serving processes: 1 of 2."
    )


def test_paused_and_asked() -> None:
    state = a_state(Phase.CANARY, spec=a_spec(gates=()))
    asked = promote(a_routing(state), "ann", "I know", START_MS).rollout
    assert asked is not None
    told = explanation(asked, Evidence(), START_MS)
    assert told == "Version 2 gets 5 % of the requests. ann wants it to move on: I know."
    paused = msgspec.structs.replace(state, is_paused=True)
    told = explanation(paused, seen_of(paused, a_variant(100)), after(state, 50))
    assert told.startswith(
        "Version 2 gets 5 % of the requests, and stays there until it is resumed"
    )
    assert "Open:" not in told


def test_a_pause_of_its_own_tells_what_is_open_now() -> None:
    state = a_state(Phase.CANARY, spec=a_spec(gates=()))
    few = seen_of(state, a_variant(3))
    paused = decide(state, few, after(state, 1000))
    assert paused is not None
    told = explanation(paused, seen_of(paused, a_variant(40)), after(paused, 2000))
    assert told == (
        "Version 2 gets 5 % of the requests, and stays there until it is resumed: not decided "
        "within 16.7 min. Open: 60 more requests of the candidate: 40 of 100."
    )


@pytest.mark.parametrize(
    ("phase", "start"),
    [
        (Phase.DONE, "Version 2 gets all requests: "),
        (Phase.ROLLED_BACK, "Version 2 gets no requests (rolled back): "),
        (Phase.FAILED, "Version 2 gets no requests (failed): "),
    ],
)
def test_ends(phase: Phase, start: str) -> None:
    end = enter(a_state(Phase.CANARY), phase, who="ann", why="because", now_ms=START_MS)
    assert explanation(end, Evidence(), START_MS) == f"{start}because."


def test_gates_of_now_and_of_the_end() -> None:
    state = a_state(Phase.CANARY)
    now = gates_now(state, seen_of(state, a_variant(9), a_variant(9)))
    assert [gate.verdict for gate in now] == [Verdict.NEED_MORE_DATA] * 2
    end = enter(state, Phase.ROLLED_BACK, who="controller", why="x", now_ms=START_MS, gates=now)
    assert gates_now(end, Evidence()) == now
