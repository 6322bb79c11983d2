"""What routes need is made when they are needed, and gone with the server."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

import penstock
from penstock.core.errors import InvalidArgument, NotReady, StoreError
from penstock.rollout.spec import Bake, RolloutSpec, Step
from penstock.rollout.state import Phase
from penstock.router.route import Route, Variant
from penstock.server.control_api.traffic_control import TrafficControl

VERSION = """
from penstock import Model

class M(Model):
    def predict(self, text: list[str]) -> list[str]:
        return [one + "-{version}" for one in text]
"""
SETTINGS = {"model_control": "watch", "watch.settle_s": 0}
SPLIT = Route(
    variants=(
        Variant(name="stable", version=1, weight=50),
        Variant(name="canary", version=2, weight=50),
    )
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    made = tmp_path / "temporary"
    made.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(made))
    return made


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for version in (1, 2):
        place = tmp_path / "models" / "m" / str(version)
        place.mkdir(parents=True)
        (place / "model.py").write_text(VERSION.format(version=version))
    (tmp_path / "models" / "m" / "model.yaml").write_text("version_policy: {specific: [1]}\n")
    return tmp_path / "models"


@pytest.fixture
async def models(repository: Path, folder: Path) -> AsyncIterator[penstock.Models]:
    async with penstock.serving(repository, settings=SETTINGS) as models:
        yield models


def left(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(1000):
        if await check():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"not so within 20 s: {check}")


async def answer(models: penstock.Models) -> str:
    found = await models.infer("m", text=["a"])
    return str(next(iter(found.values()))[0].decode())


async def test_a_program_routes_its_own_models(models: penstock.Models, folder: Path) -> None:
    assert await answer(models) == "a-1"
    assert left(folder) == []
    traffic = await models.traffic()
    told = await traffic.set_route("m", SPLIT, "me")
    assert any("forgotten" in note for note in told.notes)

    async def is_ready() -> bool:
        return (await traffic.route("m")).ready == (1, 2)

    await until(is_ready)
    answers = {await answer(models) for _ in range(60)}
    assert answers == {"a-1", "a-2"}

    async def is_counted() -> bool:
        seen = (await traffic.route("m")).seen
        return seen is not None and sum(one.requests for one in seen.variants.values()) >= 60

    await until(is_counted)
    await traffic.clear_route("m")
    assert await answer(models) == "a-1"


async def test_a_rollout_runs_to_its_end(models: penstock.Models) -> None:
    traffic = await models.traffic()
    plan = RolloutSpec(
        model="m",
        candidate=2,
        steps=(Step(weight=50, min_samples=5, min_time_s=0),),
        bake=Bake(min_samples=5, min_time_s=0),
        gates=(),
        interval_s=0.1,
    )
    await traffic.start(plan, "me")

    async def is_done() -> bool:
        for _ in range(5):
            assert await answer(models) in ("a-1", "a-2")
        return (await traffic.rollout("m")).phase is Phase.DONE

    await until(is_done)
    assert {await answer(models) for _ in range(10)} == {"a-2"}
    assert [one.what for one in await traffic.history("m")][-1] == "done"


async def test_nothing_is_left_behind(repository: Path, folder: Path) -> None:
    async with penstock.serving(repository, settings=SETTINGS) as models:
        traffic = await models.traffic()
        await traffic.set_route("m", SPLIT)
        assert left(folder)
    assert left(folder) == []
    others = [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
    assert others == []
    with pytest.raises(NotReady, match="shutting down"):
        await traffic.clear_route("m")


async def test_a_program_that_ends_has_no_new_routes(repository: Path, folder: Path) -> None:
    async with penstock.serving(repository, settings=SETTINGS) as models:
        pass
    with pytest.raises(NotReady, match="shutting down"):
        await models.traffic()
    assert left(folder) == []


async def test_two_who_ask_at_once_get_the_same(models: penstock.Models, folder: Path) -> None:
    asked: list[TrafficControl] = await asyncio.gather(*(models.traffic() for _ in range(5)))
    assert len({id(one) for one in asked}) == 1
    assert len(left(folder)) == 1


async def test_without_a_place_for_it_there_is_no_route_and_serving_goes_on(
    models: penstock.Models, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "gone"))
    with pytest.raises(StoreError, match="control_store"):
        await models.traffic()
    assert await answer(models) == "a-1"
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    traffic = await models.traffic()
    with pytest.raises(InvalidArgument, match="there: 1, 2"):
        await traffic.set_route("m", Route(variants=(Variant(name="a", version=9, weight=100),)))


async def test_what_a_program_started_is_kept_where_it_says_so(
    repository: Path, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    settings = {**SETTINGS, "control_store": f"sqlite:///{tmp_path}/control.db"}
    async with penstock.serving(repository, settings=settings) as models:
        told = await (await models.traffic()).set_route("m", SPLIT)
        assert told.notes == ()
    async with penstock.serving(repository, settings=settings) as models:
        traffic = await models.traffic()
        assert (await traffic.route("m")).route == told.route
        assert {await answer(models) for _ in range(60)} == {"a-1", "a-2"}
    assert left(folder) == []
    assert caplog.records == []
