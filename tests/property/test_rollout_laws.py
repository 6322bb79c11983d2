"""Whatever is seen, asked for and told by the clock: a rollout keeps its promises."""

from __future__ import annotations

import contextlib
import itertools
from typing import NamedTuple

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.core.errors import FailedPrecondition
from penstock.evidence.verdict import Verdict
from penstock.rollout.actions import abort, pause, promote, resume, set_route, start
from penstock.rollout.decide import CONTROLLER, decide
from penstock.rollout.explain import explanation
from penstock.rollout.plan import CANDIDATE, stage_of, title
from penstock.rollout.routes import route_of, weight_of
from penstock.rollout.seen import Evidence, Readiness
from penstock.rollout.spec import AgreementGate, Bake, ErrorRateGate, RolloutSpec, ShadowStage, Step
from penstock.rollout.state import ModelRouting, Phase, RolloutState
from penstock.router.counts import PairCounts, StageCounts, VariantCounts
from penstock.router.route import Route, Variant
from tests.unit.rollout.rollouts import BAKE, READY, SHADOW, START_MS, copies, latencies

BEFORE = Route(variants=(Variant(name="only", version=1, weight=100),), labels={"old": 0})

weights = st.lists(st.sampled_from([1, 5, 20, 50, 99]), max_size=3, unique=True).map(sorted)
shadows = st.sampled_from([None, SHADOW, ShadowStage(min_samples=0, min_time_s=0)])


@st.composite
def specs(draw: st.DrawFn) -> RolloutSpec:
    shadow: ShadowStage | None = draw(shadows)
    steps = tuple(
        Step(weight=weight, min_samples=draw(st.sampled_from([0, 10, 500])), min_time_s=5)
        for weight in draw(weights)
    )
    gates = (ErrorRateGate(max_increase=0.02),) if steps or shadow else ()
    return RolloutSpec(
        model="m",
        candidate=2,
        reference=draw(st.sampled_from([None, 1])),
        shadow=shadow,
        steps=steps,
        gates=draw(st.sampled_from([(), gates])),
        bake=draw(st.sampled_from([BAKE, Bake(min_samples=0, min_time_s=0)])),
    )


class Look(NamedTuple):
    """What is known at one look, the stage left out."""

    requests: int
    error_ratio: float
    readiness: Readiness
    is_stale: bool
    non_finite: int

    def at(self, state: RolloutState) -> Evidence:
        errors = int(self.requests * self.error_ratio)
        mine = VariantCounts(
            requests=self.requests,
            errors=errors,
            latency=latencies({50: self.requests - errors}),
            non_finite=self.non_finite,
        )
        theirs = VariantCounts(requests=5000, latency=latencies({50: 5000}))
        stage = "another" if self.is_stale else state.stage
        pairs: PairCounts | None = copies(self.requests - errors, self.requests - 2 * errors)
        counts = StageCounts(stage, {"canary": mine, "stable": theirs}, pairs)
        return Evidence(counts=counts, readiness=self.readiness)


looks = st.builds(
    Look,
    requests=st.sampled_from([0, 0, 9, 400, 20_000]),
    error_ratio=st.sampled_from([0.0, 0.0, 0.0, 0.001, 0.2]),
    readiness=st.sampled_from(
        [READY, READY, READY, Readiness(), Readiness(2, 1, 2), Readiness(2, 2, 2, ("no memory",))]
    ),
    is_stale=st.sampled_from([False, False, True]),
    non_finite=st.sampled_from([0, 0, 0, 1, 9]),
)
deeds = st.sampled_from(["pause", "resume", "promote", "promote full", "abort"])
passing_s = st.sampled_from([0, 1, 6, 30, 2000, 100_000, -1, -5000])
events = st.lists(st.tuples(passing_s, st.one_of(looks, looks, looks, deeds)), max_size=25)


class World:
    """One rollout, its route, the time, and every state it was in."""

    def __init__(self, spec: RolloutSpec, before: Route | None) -> None:
        self.now_ms = START_MS
        self.before = before
        self.routing = start(spec, ModelRouting(route=before), [1], "ann", self.now_ms)
        self.states = [self.state]

    @property
    def state(self) -> RolloutState:
        assert self.routing.rollout is not None
        return self.routing.rollout

    def happens(self, event: Look | str) -> None:
        """A look is taken, or somebody asks for something; what it may not do it does not."""
        before = self.state
        if isinstance(event, str):
            with contextlib.suppress(FailedPrecondition):
                self._act(event)
        else:
            seen = event.at(before)
            after = decide(before, seen, self.now_ms)
            assert explanation(before, seen, self.now_ms)
            if after is not None:
                self.routing = msgspec.structs.replace(
                    self.routing, rollout=after, route=route_of(after)
                )
                check_decision(before, seen, after)
        if self.state != before:
            self.states.append(self.state)

    def _act(self, deed: str) -> None:
        by = (self.routing, "ann", "", self.now_ms)
        match deed:
            case "pause":
                self.routing = pause(*by)
            case "resume":
                self.routing = resume(*by)
            case "promote":
                self.routing = promote(*by)
            case "promote full":
                self.routing = promote(*by, to_bake=True)
            case _:
                self.routing = abort(*by)


def check_decision(before: RolloutState, seen: Evidence, after: RolloutState) -> None:
    """What the controller may do of itself."""
    new = after.history[len(before.history) :]
    assert len(new) <= 1
    if after.stage == before.stage or (after.phase.is_end and after.phase is not Phase.DONE):
        return
    stage = stage_of(before.spec, before.phase, before.step)
    if stage is None or new[0].who != CONTROLLER:
        return
    counts = seen.counts
    assert counts.stage == before.stage, "left on counts of another stage"
    assert not before.is_paused, "left while paused"
    count = counts.variants[CANDIDATE].requests
    if before.phase is Phase.SHADOW:
        assert counts.pairs is not None
        count = sum(counts.pairs.latency) + counts.pairs.errors
    assert count >= max(1, stage.min_samples), "left without traffic"
    assert {gate.verdict for gate in new[0].gates} <= {Verdict.PASS}


@settings(deadline=None)
@given(specs(), st.sampled_from([None, BEFORE]), events)
def test_a_rollout_keeps_its_promises(
    spec: RolloutSpec, before: Route | None, script: list[tuple[int, Look | str]]
) -> None:
    world = World(spec, before)
    for passed_s, event in script:
        world.now_ms += passed_s * 1000
        world.happens(event)
        check_state(world)
        check_ways_back(world)
    check_weights(world.states)


def check_state(world: World) -> None:
    """The route is that of the state, whole, and has the reference until it is done."""
    state, route = world.state, world.routing.route
    assert route == route_of(state)
    if route is not None:
        assert abs(sum(one.weight for one in route.variants) - 100) < 1e-9
        assert state.phase is Phase.DONE or state.reference in route.versions
        assert route.variants[0].version == state.reference or state.phase is Phase.DONE
    if state.phase in (Phase.ROLLED_BACK, Phase.FAILED) and world.before is not None:
        assert route is not None
        assert msgspec.structs.replace(route, labels=world.before.labels) == world.before
        assert route.labels == {**world.before.labels, "stable": 1, "canary": 1}
    assert state.phase is Phase.CANARY or state.step == 0
    if state.phase.is_end:
        assert not state.is_paused
        assert state.asked is None
        assert state.history[-1].to == title(state.spec, state.phase, 0)
    text = msgspec.json.encode(msgspec.to_builtins(world.routing))
    assert msgspec.json.decode(text, type=ModelRouting) == world.routing


def check_ways_back(world: World) -> None:
    """An end stays; everything else can be turned back, by hand and by a failure, at once."""
    state, now_ms = world.state, world.now_ms
    failing = Evidence(readiness=Readiness(2, 0, 2, ("it crashed",)))
    if state.phase.is_end:
        assert decide(state, failing, now_ms) is None
        assert set_route(world.routing, None, "m").rollout == state
        for deed in (pause, resume, promote, abort):
            try:
                deed(world.routing, "ann", "", now_ms)
            except FailedPrecondition:
                continue
            raise AssertionError("an end was left")
        return
    aborted = abort(world.routing, "ann", "", now_ms)
    assert aborted.rollout is not None
    assert aborted.rollout.phase is Phase.ROLLED_BACK
    assert weight_of(aborted.rollout) == 0
    if state.phase is not Phase.DRAFT:
        broken = decide(state, failing, now_ms)
        assert broken is not None
        assert broken.phase in (Phase.ROLLED_BACK, Phase.FAILED)
        assert (broken.phase is Phase.FAILED) == (state.phase is Phase.WARM)


def check_weights(states: list[RolloutState]) -> None:
    """The candidate's share only rises, until it is taken back; phases only go forward."""
    order = list(Phase)
    for one, other in itertools.pairwise(states):
        assert not one.phase.is_end
        assert order.index(other.phase) >= order.index(one.phase)
        if other.phase not in (Phase.ROLLED_BACK, Phase.FAILED):
            assert weight_of(other) >= weight_of(one)
        assert len(other.history) - len(one.history) in (0, 1)


@given(st.integers(0, 10**6), st.booleans())
def test_copies_that_were_shed_decide_nothing(shed: int, is_paused: bool) -> None:
    shadow = ShadowStage(gates=(AgreementGate(),), min_samples=0, min_time_s=0)
    spec = RolloutSpec(model="m", candidate=2, reference=1, shadow=shadow)
    state = RolloutState("m-1", spec, Phase.SHADOW, entered_ms=START_MS, is_paused=is_paused)
    counts = StageCounts(state.stage, {}, PairCounts(shed=shed))
    found = decide(state, Evidence(counts=counts, readiness=READY), START_MS + 60_000)
    assert found is None or found.phase is Phase.SHADOW
