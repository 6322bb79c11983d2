"""Several things of one model: one that is only told keeps nothing from being decided."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from penstock.rollout.controller import RolloutController
from penstock.rollout.state import ModelRouting
from penstock.testing.fake_control_store import FakeControlStore
from tests.unit.rollout.rollout_plant import SOON, Process, turns

OVER = {"name": "over"}


class Teller:
    """Has something to tell until it is told to stop; decides nothing."""

    def __init__(self) -> None:
        self.is_busy = True
        self.looks = 0
        self.rests = 0

    def pace_s(self, name: str, routing: ModelRouting) -> float | None:
        return 0.001 if self.is_busy else None

    async def look(self, name: str, routing: ModelRouting) -> ModelRouting | None:
        self.looks += 1
        return None

    def wrote(self, name: str, before: ModelRouting, after: ModelRouting) -> bool:
        raise AssertionError("it has decided nothing")

    async def rest(self, name: str) -> None:
        self.rests += 1


class Ender(Teller):
    """Ends an experiment once it may."""

    may_end = False

    def pace_s(self, name: str, routing: ModelRouting) -> float | None:
        return None if routing.experiment in (None, OVER) else 0.001

    async def look(self, name: str, routing: ModelRouting) -> ModelRouting | None:
        self.looks += 1
        return msgspec.structs.replace(routing, experiment=OVER) if self.may_end else None

    def wrote(self, name: str, before: ModelRouting, after: ModelRouting) -> bool:
        return False


@pytest.fixture
def teller() -> Teller:
    return Teller()


@pytest.fixture
def ender() -> Ender:
    return Ender()


@pytest.fixture
async def process(teller: Teller, ender: Ender) -> AsyncIterator[Process]:
    store = FakeControlStore()
    made = Process(store, 1)
    deciders = [teller, ender]
    made.controller = RolloutController(
        made.book, store, made.reconciler, made.id, deciders, made.stats, options=SOON
    )
    await made.begin()
    yield made
    await made.close()


async def begin(process: Process) -> None:
    await process.order(lambda now: msgspec.structs.replace(now, experiment={"name": "live"}))


async def test_an_experiment_is_decided_while_a_rollout_is_still_told(
    process: Process, teller: Teller, ender: Ender
) -> None:
    await begin(process)
    async with asyncio.timeout(10):
        while ender.looks < 3:
            await turns(1)
        assert teller.looks > 0
        ender.may_end = True
        while (routing := process.book.routing("digits")) is None or routing.experiment != OVER:
            await turns(1)


async def test_what_has_nothing_left_to_tell_rests_while_another_goes_on(
    process: Process, teller: Teller, ender: Ender
) -> None:
    await begin(process)
    async with asyncio.timeout(10):
        while teller.looks == 0 or ender.looks == 0:
            await turns(1)
        assert teller.rests == 0
        teller.is_busy = False
        while teller.rests == 0:
            await turns(1)
    assert ender.rests == 0
