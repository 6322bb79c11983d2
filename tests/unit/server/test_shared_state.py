"""What is desired of all, made true in one process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from penstock.core.errors import (
    FailedPrecondition,
    InvalidArgument,
    LoadFailed,
    PenstockError,
)
from penstock.lifecycle.source_adapter import Override
from penstock.repository.manifest import Manifest
from penstock.rollout.book import RoutingBook
from penstock.rollout.state import ModelRouting
from penstock.rollout.subjects import plain_routing, route_subject
from penstock.router.route import Route, Variant
from penstock.router.route_table import RouteTable
from penstock.server.service import ModelService
from penstock.server.settings_api import LiveSettings
from penstock.server.share import LOGS, TRACES, model_of, model_subject, routed_model
from penstock.server.shared_state import SharedState
from penstock.stores.control_store import Change
from penstock.telemetry.logs import LevelSwitch
from penstock.telemetry.registry import StatsRegistry
from penstock.telemetry.stats import EdgeStats


class FakeControl:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []
        self.broken: set[str] = set()
        self.refusal: PenstockError | None = None

    def check_request(self, name: str) -> None:
        if self.refusal is not None:
            raise self.refusal

    def resume(self, loaded: Mapping[str, Override | None], unloaded: Sequence[str]) -> None:
        self.done.append(("resume", {n: self._labels(o) for n, o in loaded.items()}, unloaded))

    async def load(self, name: str, override: Override | None = None) -> None:
        self.done.append(("load", name, self._labels(override)))

    async def unload(self, name: str) -> None:
        self.done.append(("unload", name))

    def failure(self, name: str) -> LoadFailed | None:
        return LoadFailed(f"{name} is broken") if name in self.broken else None

    def _labels(self, override: Override | None) -> Mapping[str, int] | None:
        return None if override is None else override(Manifest()).labels


class FakeShare:
    """A shared state of one process, which applies at once."""

    def __init__(self, state: SharedState) -> None:
        self.state = state
        self.told: list[tuple[str, Any, str, str]] = []
        self.values: dict[str, Any] = {}

    async def order(
        self, subject: str, to: Any, *, who: str, why: str, may_undo: bool = True
    ) -> None:
        value = msgspec.json.decode(msgspec.json.encode(to(self.values.get(subject))))
        self.values[subject] = value
        self.told.append((subject, value, who, why))
        await self.state.apply(Change(len(self.told), subject, value))


class Plant:
    def __init__(self, initial: Sequence[str] = (), *, is_explicit: bool = True) -> None:
        self.control = FakeControl()
        control: Any = self.control
        nothing: Any = SimpleNamespace()
        self.service = ModelService(
            router=nothing,
            manager=nothing,
            control=control,
            stats=StatsRegistry(),
            edge=EdgeStats(),
        )
        self.switch = LevelSwitch()
        self.live = LiveSettings(self.service, self.switch)
        self.table = RouteTable()
        self.held: dict[str, frozenset[int]] = {}
        self.num_books = 0
        self.state = SharedState(
            control, lambda: self.live, initial, is_explicit=is_explicit, book=self._book
        )
        self.share = FakeShare(self.state)

    def _book(self) -> RoutingBook:
        self.num_books += 1
        return RoutingBook(self.table, self.held.__setitem__)

    async def apply(self, subject: str, value: Any) -> list[tuple[Any, ...]]:
        self.control.done.clear()
        await self.state.apply(Change(1, subject, value))
        return self.control.done


LOADED = {"loaded": True, "overrides": {"labels": {"best": 1}}}


def test_subjects_of_models() -> None:
    assert model_of(model_subject("a/b")) == "a/b"
    assert model_of(LOGS) is None


async def test_models_are_loaded_and_unloaded() -> None:
    plant = Plant()
    assert await plant.apply("model/m", LOADED) == [("load", "m", {"best": 1})]
    assert await plant.apply("model/m", {"loaded": True, "overrides": None}) == [
        ("load", "m", None)
    ]
    assert await plant.apply("model/m", {"loaded": False}) == [("unload", "m")]


@pytest.mark.parametrize(
    ("initial", "done"),
    [([], ("unload", "m")), (["m"], ("load", "m", None)), (["*"], ("load", "m", None))],
)
async def test_a_change_taken_back_leads_to_the_start(
    initial: list[str], done: tuple[Any, ...]
) -> None:
    assert await Plant(initial).apply("model/m", None) == [done]


def test_a_start_takes_up_what_is_desired() -> None:
    plant = Plant()
    changes = [
        Change(1, "model/a", LOADED),
        Change(2, "model/b", {"loaded": False}),
        Change(3, "model/c", None),
        Change(4, LOGS, {"log_verbose_level": 2, "log_info": False}),
    ]
    plant.state.resume(changes)
    assert plant.control.done == [("resume", {"a": {"best": 1}}, ["b"])]
    assert plant.live.logs().log_verbose_level == 2
    assert "INFO" not in plant.switch.enabled
    plant.control.broken = {"a"}
    assert {k: e.message for k, e in plant.state.failed(changes).items()} == {
        "model/a": "a is broken"
    }


async def test_where_files_decide_models_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    plant = Plant(is_explicit=False)
    plant.state.resume([Change(1, "model/a", LOADED)])
    assert plant.control.done == []
    assert "left alone" in caplog.text
    assert await plant.apply("model/a", LOADED) == []


async def test_orders_go_to_all_processes() -> None:
    plant = Plant()
    plant.service.share = plant.share
    await plant.service.load("m", {"labels": {"best": 1}}, who="REST")
    await plant.service.unload("m", who="gRPC")
    assert plant.share.told == [
        ("model/m", LOADED, "REST", "load"),
        ("model/m", {"loaded": False}, "gRPC", "unload"),
    ]
    assert plant.control.done == [("load", "m", {"best": 1}), ("unload", "m")]
    plant.control.refusal = FailedPrecondition("watching")
    for order in (plant.service.load("m", None, who=""), plant.service.unload("m", who="")):
        with pytest.raises(FailedPrecondition):
            await order
    assert len(plant.share.told) == 2


async def test_log_settings_go_to_all_processes() -> None:
    plant = Plant()
    plant.service.share = plant.share
    await plant.live.change_logs({"log_verbose_level": 1}, who="REST")
    await plant.live.change_logs({"log_info": False}, who="REST")
    logs = plant.live.logs()
    assert (logs.log_verbose_level, logs.log_info, logs.log_error) == (1, False, True)
    assert plant.switch.enabled == {"DEBUG", "WARNING", "ERROR", "CRITICAL"}
    plant.live.set_logs(None)
    assert plant.live.logs().log_info


async def test_trace_settings_go_to_all_processes() -> None:
    plant = Plant()
    plant.service.share = plant.share
    await plant.live.change_traces({"trace_level": ["TIMESTAMPS"]}, "m", who="REST")
    await plant.live.change_traces({"trace_rate": "5"}, "", who="REST")
    assert plant.live.traces("m").active
    assert not plant.live.traces().active
    assert plant.live.traces("m").trace_rate == 5
    other = Plant()
    other.state.resume([Change(1, TRACES, plant.share.values[TRACES])])
    assert other.live.traces("m") == plant.live.traces("m")
    assert len(other.service.recorders) == 1
    plant.live.set_traces(None)
    assert not plant.live.traces("m").active


ROUTE = Route(variants=(Variant(name="stable", version=2, weight=100),), keep=(1,))
ROUTED = plain_routing(ModelRouting(route=ROUTE))


def test_subjects_of_routes() -> None:
    assert routed_model(route_subject("a/b")) == "a/b"
    assert routed_model(LOGS) is None


async def test_a_route_is_taken_and_its_versions_are_held() -> None:
    plant = Plant()
    await plant.apply("route/m", ROUTED)
    assert plant.table.route("m") == ROUTE
    assert plant.held["m"] == {1, 2}
    await plant.apply("route/m", None)
    assert plant.table.route("m") is None
    assert plant.held["m"] == frozenset()


def test_a_start_has_its_routes_before_its_models() -> None:
    plant = Plant(is_explicit=False)
    plant.state.resume([Change(1, "route/m", ROUTED)])
    assert plant.table.route("m") == ROUTE
    assert plant.held["m"] == {1, 2}


UNREADABLE = [
    {"route": {"variants": "none"}},
    {"route": {"variants": [], "of_a_later_version": 1}},
    {"route": {"variants": [{"name": "a", "version": 1, "weight": 30}]}},
    [],
]


@pytest.mark.parametrize("value", UNREADABLE)
async def test_a_route_that_cannot_be_read_is_refused_and_the_old_one_stays(value: Any) -> None:
    plant = Plant()
    await plant.apply("route/m", ROUTED)
    with pytest.raises(InvalidArgument):
        await plant.apply("route/m", value)
    assert plant.table.route("m") == ROUTE


@pytest.mark.parametrize("value", UNREADABLE)
def test_a_start_goes_on_without_a_route_that_cannot_be_read(
    value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    plant = Plant()
    changes = [Change(1, "route/m", value), Change(2, "model/a", LOADED)]
    plant.state.resume(changes)
    assert plant.control.done == [("resume", {"a": {"best": 1}}, [])]
    assert plant.state.failed(changes).keys() == {"route/m"}
    assert caplog.records


async def test_without_routes_no_book_is_made() -> None:
    plant = Plant()
    plant.state.resume([Change(1, "model/a", LOADED)])
    await plant.apply(LOGS, None)
    assert plant.num_books == 0
