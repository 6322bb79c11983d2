"""Requests for the same missing key compute it once, and share no trouble."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.errors import DeadlineExceeded, InvalidInput
from penstock.stores.flight import Lookup
from tests.stores.playing import Computer, Play, turns


async def test_what_is_missing_is_computed_once_and_kept() -> None:
    play, computer = Play(), Computer()
    got = await play.store.get_or_compute(["a", "b", "a"], computer)
    assert got == [Lookup(b"v0", False), Lookup(b"v1", False), Lookup(b"v0", False)]
    assert computer.calls == [[0, 1]]
    assert play.backend.calls == ["get_many"]  # nothing is written before the answer is out
    assert await play.drained() == 0
    again = Computer()
    assert await play.store.get_or_compute(["b", "c", "a"], again) == [
        Lookup(b"v1", True),
        Lookup(b"v1", False),
        Lookup(b"v0", True),
    ]
    assert again.calls == [[1]]
    assert play.store.stats.lookups == {"hit": 2, "miss": 3, "shared": 0}


async def test_nothing_is_asked_for_nothing() -> None:
    play, computer = Play(), Computer()
    assert await play.store.get_or_compute([], computer) == []
    assert play.backend.calls == computer.calls == []


async def test_requests_at_once_compute_once() -> None:
    play, computer = Play(), Computer(waits=True)
    tasks = [
        asyncio.create_task(play.store.get_or_compute([f"k{n % 3}", "all"], computer))
        for n in range(30)
    ]
    await turns()
    assert computer.calls == [[0, 1], [0], [0]]
    computer.go([b"x", b"y"])
    computer.result = None
    got = await asyncio.gather(*tasks)
    assert {result[1].value for result in got} == {b"v1"}
    assert play.store.stats.lookups == {"hit": 0, "miss": 4, "shared": 56}
    assert play.backend.calls.count("get_many") == 3


async def test_what_waits_to_be_written_is_a_hit() -> None:
    play = Play()
    await play.store.get_or_compute(["k"], Computer())
    play.backend.hang()
    assert await play.store.get_or_compute(["k"], Computer("w")) == [Lookup(b"v0", True)]
    play.backend.heal()
    await play.store.close()


async def test_an_error_in_an_items_place_is_handed_to_its_askers_and_not_stored() -> None:
    play, computer = Play(), Computer(waits=True)
    first = asyncio.create_task(play.store.get_or_compute(["bad", "good"], computer))
    await turns()
    second = asyncio.create_task(play.store.get_or_compute(["good", "bad"], computer))
    await turns()
    bad = InvalidInput(0, "too long")
    computer.go([bad, b"ok"])
    assert await first == [Lookup(bad, False), Lookup(b"ok", False)]
    assert await second == [Lookup(b"ok", False), Lookup(bad, False)]
    await play.drained()
    assert await play.memory.get_many(["bad", "good"]) == [None, b"ok"]


async def test_nothing_to_keep_is_not_shared() -> None:
    play, first, second = Play(), Computer(waits=True), Computer("mine")
    one = asyncio.create_task(play.store.get_or_compute(["k", "k"], first))
    await turns()
    two = asyncio.create_task(play.store.get_or_compute(["k"], second))
    await turns()
    first.go([None])
    assert await one == [Lookup(None, False), Lookup(None, False)]
    assert await two == [Lookup(b"mine0", False)]
    assert first.calls == [[0]]


async def test_a_neighbours_error_is_not_ours() -> None:
    play, hurried = Play(), Computer(waits=True)
    one = asyncio.create_task(play.store.get_or_compute(["k"], hurried))
    await turns()
    calm = [Computer(f"{n}:") for n in range(3)]
    others = [asyncio.create_task(play.store.get_or_compute(["k"], c)) for c in calm]
    await turns()
    hurried.go(DeadlineExceeded("too late"))
    with pytest.raises(DeadlineExceeded):
        await one
    got = await asyncio.gather(*others)
    assert [result[0].value for result in got] == [b"0:0", b"1:0", b"2:0"]


async def test_a_neighbours_cancellation_is_not_ours() -> None:
    play, gone = Play(), Computer(waits=True)
    one = asyncio.create_task(play.store.get_or_compute(["k"], gone))
    await turns()
    others = [Computer(f"{n}:") for n in range(3)]
    tasks = [asyncio.create_task(play.store.get_or_compute(["k"], c)) for c in others]
    await turns()
    tasks[0].cancel()
    await turns()
    assert not others[1].calls
    one.cancel()
    got = await asyncio.gather(*tasks[1:])
    assert [result[0].value for result in got] == [b"1:0", b"1:0"]  # once, by the next in line
    assert not play.store._single_flight._flights


async def test_a_failed_lookup_is_a_miss() -> None:
    play = Play()
    play.backend.fail()
    assert await play.store.get_or_compute(["k"], Computer()) == [Lookup(b"v0", False)]
    assert play.store.stats.errors == {("read", "unavailable"): 1}


async def test_wrong_counts_are_an_error() -> None:
    play, computer = Play(), Computer()
    computer.go([b"1", b"2"])
    with pytest.raises(ValueError, match="zip"):
        await play.store.get_or_compute(["k"], computer)
    assert not play.store._single_flight._flights


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.lists(st.sampled_from("abc"), min_size=1, max_size=3)),
        st.tuples(st.just("cancel"), st.integers(0, 10)),
        st.tuples(st.just("go"), st.integers(0, 10)),
        st.tuples(st.just("fail"), st.integers(0, 10)),
        st.tuples(st.just("break"), st.booleans()),
        st.tuples(st.just("turn"), st.integers(1, 4)),
    ),
    max_size=30,
)


@given(STEPS)
def test_whatever_happens_each_gets_an_answer(steps: list[tuple[str, Any]]) -> None:
    """Values are right; errors and cancellations stay with those whose they are."""
    asyncio.run(_play(steps))


class _Scene:
    """Requests for some keys, and what is done to them."""

    def __init__(self) -> None:
        self.play = Play()
        self.asked: list[tuple[list[str], Computer, asyncio.Task[list[Lookup]]]] = []
        self.own_trouble: set[int] = set()

    def ask(self, keys: list[str]) -> None:
        """Ask for keys; the value of a key is the key."""
        computer = Computer(waits=True)

        async def compute(positions: Sequence[int]) -> list[bytes]:
            await computer(positions)
            return [keys[position].encode() for position in positions]

        task = asyncio.create_task(self.play.store.get_or_compute(keys, compute))
        self.asked.append((keys, computer, task))

    def trouble(self, index: int, what: str) -> None:
        """Let a request compute, fail, or go away."""
        _, computer, task = self.asked[index]
        if what == "go":
            computer.go()
            return
        self.own_trouble.add(index)
        if what == "cancel":
            task.cancel()
        else:
            computer.go(DeadlineExceeded("late"))

    async def end(self) -> None:
        """Let everybody compute who still waits."""
        for _ in range(len(self.asked) + 1):
            for _, computer, _ in self.asked:
                computer.go(computer.result)
            await turns()

    def check(self, index: int) -> None:
        """The request has its values, unless its own trouble kept it from them."""
        keys, computer, task = self.asked[index]
        assert task.done()
        if task.cancelled() or task.exception() is not None:
            assert index in self.own_trouble
        else:
            assert [lookup.value for lookup in task.result()] == [key.encode() for key in keys]
        assert all(len(set(call)) == len(call) for call in computer.calls)


async def _play(steps: list[tuple[str, Any]]) -> None:
    scene = _Scene()
    for name, what in steps:
        if name == "ask":
            scene.ask(what)
        elif name == "break":
            scene.play.backend.fail() if what else scene.play.backend.heal()
        elif name == "turn":
            await turns(what)
        elif scene.asked:
            scene.trouble(what % len(scene.asked), name)
    await scene.end()
    for index in range(len(scene.asked)):
        scene.check(index)
    assert not scene.play.store._single_flight._flights
    scene.play.backend.heal()
    assert await scene.play.drained() == 0
