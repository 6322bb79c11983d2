"""What time asks of experiments, and what people do with them: begin, move the shares, end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.core.errors import NotFound
from penstock.rollout.book import RoutingBook
from penstock.rollout.experiment import actions
from penstock.rollout.experiment.control import ExperimentControl
from penstock.rollout.experiment.decider import ExperimentDecider
from penstock.rollout.experiment.experiments import Experiments
from penstock.rollout.experiment.result import Finding
from penstock.rollout.experiment.state import WARM, ExperimentPhase
from penstock.rollout.report import ProcessReport
from penstock.rollout.reporter import Versions
from penstock.rollout.state import ModelRouting
from penstock.rollout.subjects import counts_subject, read_routing
from penstock.router.counts import StageCounts, VariantCounts
from penstock.router.route_table import RouteTable
from penstock.stores.control_store import Outcome, ServingProcess, Standing
from penstock.stores.experiment_log_sqlite import SqliteExperimentLog
from penstock.testing.fake_clock import FakeClock
from tests.unit.rollout.experiment.values import running, spec_of, state_of
from tests.unit.rollout.test_stage_clock import JumpingClock


class PuppetStore:
    """Tells what a test wants it to."""

    def __init__(self) -> None:
        self.reports: dict[str, ProcessReport] = {}
        self.live: list[str] = []

    async def published(self, subject: str) -> dict[str, bytes]:
        assert subject == counts_subject("m")
        return {name: msgspec.msgpack.encode(one) for name, one in self.reports.items()}

    async def standings(self, subject: str, live_s: float) -> Sequence[Standing]:
        return [Standing(ServingProcess(name), Outcome(subject, 1)) for name in self.live]


class Orders:
    """One process that follows every order at once."""

    def __init__(self, book: RoutingBook) -> None:
        self._book = book
        self._value: Any = None
        self.told: list[tuple[str, str]] = []

    async def order(
        self,
        subject: str,
        to: Callable[[Any], Any],
        *,
        who: str,
        why: str,
        may_undo: bool = True,
    ) -> None:
        assert not may_undo  # one process that cannot follow must not undo it for all
        value = msgspec.json.decode(msgspec.json.encode(to(self._value)))
        self._value = value
        self.told.append((who, why))
        self._book.take(subject.removeprefix("route/"), read_routing(value))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store() -> PuppetStore:
    return PuppetStore()


@pytest.fixture
def book() -> RoutingBook:
    return RoutingBook(RouteTable(), lambda name, versions: None)


@pytest.fixture
async def experiments(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Experiments]:
    opened = Experiments(SqliteExperimentLog(tmp_path / "log.db", clock=clock), clock=clock)
    yield opened
    await opened.close()


@pytest.fixture
def decider(experiments: Experiments, store: PuppetStore, clock: FakeClock) -> ExperimentDecider:
    return ExperimentDecider(experiments, store, clock=clock)


@pytest.fixture
def orders(book: RoutingBook) -> Orders:
    return Orders(book)


@pytest.fixture
def control(
    experiments: Experiments,
    book: RoutingBook,
    store: PuppetStore,
    orders: Orders,
    clock: FakeClock,
) -> ExperimentControl:
    def versions_of(name: str) -> Versions:
        return Versions((1, 2))

    return ExperimentControl(experiments, book, store, orders, versions_of, clock=clock)


def now_ms(clock: FakeClock) -> int:
    return clock.wall_ns() // 1_000_000


def warming(clock: FakeClock, **fields: Any) -> ModelRouting:
    return actions.start(spec_of(**fields), None, [1], "ann", now_ms(clock))


async def test_it_begins_when_every_live_process_has_every_version(
    decider: ExperimentDecider, store: PuppetStore, clock: FakeClock
) -> None:
    routing = warming(clock)
    stage = StageCounts(state_of(routing).id + WARM)
    assert decider.pace_s("m", routing) is not None
    assert await decider.look("m", routing) is None  # nobody has told anything
    store.live = ["one", "two"]
    store.reports = {
        "one": ProcessReport(1, stage, (1, 2)),
        "dead": ProcessReport(1, stage, (1,), {2: "broken"}),
    }
    assert await decider.look("m", routing) is None  # the other has not
    store.reports["two"] = ProcessReport(1, StageCounts("older"), (1, 2))
    assert await decider.look("m", routing) is None  # that was before
    store.reports["two"] = ProcessReport(1, stage, (1,))
    assert await decider.look("m", routing) is None
    store.reports["two"] = ProcessReport(1, stage, (1, 2))
    after = await decider.look("m", routing)
    assert after is not None
    assert state_of(after).phase is ExperimentPhase.RUNNING
    assert decider.wrote("m", routing, after)


async def test_it_gives_up_on_a_version_that_cannot_be_loaded(
    decider: ExperimentDecider, store: PuppetStore, clock: FakeClock
) -> None:
    routing = warming(clock)
    store.live = ["one"]
    stage = StageCounts(state_of(routing).id + WARM)
    store.reports = {"one": ProcessReport(1, stage, (1,), {2: "no such file"})}
    after = await decider.look("m", routing)
    assert after is not None
    assert state_of(after).phase is ExperimentPhase.FAILED
    assert "version 2 could not be loaded: no such file" in state_of(after).history[-1].why
    assert decider.pace_s("m", after) is None


async def test_it_gives_up_on_versions_that_take_too_long(
    decider: ExperimentDecider, clock: FakeClock
) -> None:
    routing = warming(clock, warm_timeout_s=60)
    clock.advance(60)
    assert await decider.look("m", routing) is None
    clock.advance(1)
    after = await decider.look("m", routing)
    assert after is not None
    assert after.route is None
    assert "not ready within 60 s" in state_of(after).history[-1].why


async def test_it_ends_after_its_time_and_keeps_what_was_counted(
    decider: ExperimentDecider, store: PuppetStore, clock: FakeClock
) -> None:
    routing = running(spec_of(max_duration_s=3600), now_ms(clock))
    counts = StageCounts(state_of(routing).id, {"b": VariantCounts(5, 1)})
    store.reports = {"one": ProcessReport(1, counts, (1, 2))}
    clock.advance(3599)
    assert await decider.look("m", routing) is None
    clock.advance(1)
    after = await decider.look("m", routing)
    assert after is not None
    assert (state_of(after).phase, after.route) == (ExperimentPhase.ENDED, None)
    assert state_of(after).counts == counts
    assert "it has lasted 60 min" in state_of(after).history[-1].why


async def expose_and_tell(experiments: Experiments, routing: ModelRouting, rate_b: float) -> None:
    """100 units of each variant; half of the control's say yes."""
    assert routing.route is not None
    rows = []
    for number in range(100):
        for variant, rate in (("control", 0.5), ("b", rate_b)):
            id_ = f"{variant}{number}"
            experiments.exposed("m", routing.route, variant, id_, id_)
            rows.append({"prediction_id": id_, "metric": "bought", "value": number < 100 * rate})
    await experiments.record(rows)


BOUGHT: dict[str, Any] = {"goals": [{"metric": "bought", "kind": "rate", "min_effect": 0.1}]}


async def test_shares_move_every_interval_where_the_outcomes_say_so(
    decider: ExperimentDecider, experiments: Experiments, clock: FakeClock
) -> None:
    spec = spec_of(**BOUGHT, mode="thompson", thompson={"interval_s": 60, "floor_ratio": 0.1})
    routing = running(spec, now_ms(clock))
    await expose_and_tell(experiments, routing, 0.9)
    assert await decider.look("m", routing) is None  # not yet
    clock.advance(60)
    after = await decider.look("m", routing)
    assert after is not None
    assert after.route is not None
    assert routing.route is not None
    assert [one.weight for one in after.route.variants] == [10, 90]
    assert after.route.stage == routing.route.stage
    clock.advance(60)
    assert await decider.look("m", after) is None  # they are what they should be


async def test_shares_that_are_fixed_stay(
    decider: ExperimentDecider, experiments: Experiments, clock: FakeClock
) -> None:
    routing = running(spec_of(**BOUGHT), now_ms(clock))
    await expose_and_tell(experiments, routing, 0.9)
    clock.advance(600)
    assert await decider.look("m", routing) is None


@pytest.mark.parametrize("jump_s", [-1e6, 1e6])
async def test_no_jump_of_the_wall_clock_ends_an_experiment_or_keeps_its_shares(
    experiments: Experiments, store: PuppetStore, jump_s: float
) -> None:
    clock = JumpingClock()
    decider = ExperimentDecider(experiments, store, clock=clock)
    spec = spec_of(
        **BOUGHT,
        mode="thompson",
        thompson={"interval_s": 60, "floor_ratio": 0.1},
        max_duration_s=3600,
    )
    routing = running(spec, now_ms(clock))
    await expose_and_tell(experiments, routing, 0.9)
    assert await decider.look("m", routing) is None
    clock.jump(jump_s)
    clock.advance(59)
    assert await decider.look("m", routing) is None
    clock.advance(1)
    after = await decider.look("m", routing)
    assert after is not None
    assert state_of(after).phase is ExperimentPhase.RUNNING
    assert state_of(after).weights == {"control": 10, "b": 90}
    clock.jump(-2 * jump_s)
    clock.advance(3539)
    assert await decider.look("m", after) is None
    clock.advance(1)
    ended = await decider.look("m", after)
    assert ended is not None
    assert state_of(ended).phase is ExperimentPhase.ENDED


async def test_a_jump_of_the_wall_clock_does_not_fail_a_load(
    experiments: Experiments, store: PuppetStore
) -> None:
    clock = JumpingClock()
    decider = ExperimentDecider(experiments, store, clock=clock)
    routing = warming(clock, warm_timeout_s=60)
    assert await decider.look("m", routing) is None
    clock.jump(1e6)
    clock.advance(60)
    assert await decider.look("m", routing) is None
    clock.advance(1)
    assert await decider.look("m", routing) is not None


def test_what_another_version_has_written_is_left_alone(decider: ExperimentDecider) -> None:
    assert decider.pace_s("m", ModelRouting(experiment={"from": "the future"})) is None


async def test_people_start_watch_and_stop(
    control: ExperimentControl,
    book: RoutingBook,
    experiments: Experiments,
    store: PuppetStore,
    orders: Orders,
) -> None:
    await control.start(spec_of(**BOUGHT), "ann")
    routing = book.routing("m")
    assert routing is not None
    await expose_and_tell(experiments, routing, 0.95)
    id_ = state_of(routing).id
    store.reports = {"one": ProcessReport(1, StageCounts(id_, {"b": VariantCounts(7)}), (1, 2))}
    status = await control.status("m")
    assert status.result.finding is Finding.BETTER
    assert status.result.variants[1].requests == 7
    await control.stop("m", "b", "bob", "it is better")
    store.reports = {}  # the stage is another one
    after = await control.status("m")
    assert after.state.phase is ExperimentPhase.ENDED
    assert after.result.variants[1].requests == 7
    assert after.result.sentence == status.result.sentence
    assert orders.told[-1] == ("bob", "experiment first: stop, keep b: it is better")
    assert [one.who for one in after.state.history] == ["ann", "bob"]


async def test_outcomes_that_come_after_the_end_still_count(
    control: ExperimentControl, book: RoutingBook, experiments: Experiments
) -> None:
    await control.start(spec_of(**BOUGHT), "ann")
    routing = book.routing("m")
    assert routing is not None
    assert routing.route is not None
    experiments.exposed("m", routing.route, "b", "u", "late")
    await control.stop("m", "", "ann", "")
    await experiments.record([{"prediction_id": "late", "metric": "bought", "value": True}])
    (goal,) = (await control.status("m")).result.comparisons
    assert goal.samples == 1


async def test_a_model_without_an_experiment_says_so(control: ExperimentControl) -> None:
    for asked in (control.status("m"), control.stop("m", "", "ann", "")):
        with pytest.raises(NotFound, match="no experiment of m"):
            await asked
