"""Whoever decides may die between any two steps: the next one ends the rollout as it should."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal

import pytest

from penstock.rollout.state import Phase
from penstock.router.counts import VariantCounts
from penstock.router.route import Route
from penstock.testing.fake_control_store import FakeControlStore
from tests.unit.rollout.rollout_plant import Process, check_law, good, nan, phases

When = Literal["before", "after"]


class MortalStore:
    """A process' way to the store that ends with its life: then nothing of it is heard any more.

    Args:
        store: the store.
        calls: how many calls the process lives for.
        when: whether it dies before its last call has done anything, or after.
    """

    def __init__(self, store: FakeControlStore, calls: int, when: When) -> None:
        self._store = store
        self._left = calls
        self._when = when
        self.is_dead = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._store, name)

        async def mortal(*args: Any, **kwargs: Any) -> Any:
            if self.is_dead.is_set():
                await asyncio.Event().wait()
            self._left -= 1
            if self._left <= 0 and self._when == "before":
                self.is_dead.set()
                await asyncio.Event().wait()
            answer = await call(*args, **kwargs)
            if self._left <= 0:
                self.is_dead.set()
                await asyncio.Event().wait()
            return answer

        return mortal


async def killed_after(
    store: FakeControlStore, calls: int, when: When, traffic: Any, end: Phase
) -> bool:
    """Let a process with a rollout live for so many calls; whether it saw the rollout's end."""
    way = MortalStore(store, 10**9, when)
    process = Process(way, 1, traffic)  # type: ignore[arg-type]
    await process.begin()
    await process.start()
    way._left = calls
    ended = asyncio.create_task(process.ends(end))
    dead = asyncio.create_task(way.is_dead.wait())
    await asyncio.wait((ended, dead), return_when=asyncio.FIRST_COMPLETED)
    saw_the_end = ended.done()
    way.is_dead.set()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.gather(ended, dead, return_exceptions=True)
    for _ in range(3):
        await asyncio.sleep(0)
    store.leases.clear()  # it has run out
    store.processes.clear()
    return saw_the_end


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("traffic", "end"), [(good, Phase.DONE), (nan, Phase.ROLLED_BACK)])
async def test_no_death_loses_or_repeats_a_decision(
    when: When, traffic: Callable[[Route], dict[str, VariantCounts]], end: Phase
) -> None:
    calls = 0
    saw_the_end = False
    while not saw_the_end:
        calls += 1
        store = FakeControlStore()
        saw_the_end = await killed_after(store, calls, when, traffic, end)
        heir = Process(store, 2, traffic)
        await heir.begin()
        await heir.ends(end)
        check_law(store)
        expected = ["draft", "warm", "canary"]
        expected += ["bake", "done"] if end is Phase.DONE else ["rolled back"]
        assert phases(store) == expected, calls
        route = heir.table.routes["digits"]
        assert route is not None
        assert [one.version for one in route.variants] == [2 if end is Phase.DONE else 1]
        await asyncio.wait_for(heir.controller.wait_done("digits"), 10)
        await heir.close()
    assert calls > 20
