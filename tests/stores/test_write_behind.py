"""Background writes: bounded, batched, drained, and every drop counted."""

from __future__ import annotations

import asyncio
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.errors import StoreError, StoreFault
from penstock.stores.backend import Increment, Item
from penstock.stores.breaker import BreakerOptions
from penstock.stores.write_behind import item_bytes
from tests.stores.playing import Play, turns

DAY_S = 86_400


def items(count: int, start: int = 0, size: int = 10) -> list[Item]:
    return [Item(f"k{n}", b"x" * size) for n in range(start, start + count)]


async def test_it_is_written_later_and_in_batches() -> None:
    play = Play()
    play.store.put(items(1000))
    assert play.backend.calls == []
    assert play.store.stats.pending_items == 1000
    assert await play.drained() == 0
    assert play.backend.calls == ["set_many"] * 4
    assert play.store.stats.written == 1000
    assert (play.store.stats.pending_items, play.store.stats.pending_bytes) == (0, 0)
    assert await play.memory.get_many(["k0", "k999"]) == [b"x" * 10] * 2


async def test_predictions_expire_after_sixty_days() -> None:
    play = Play()
    play.store.put(items(1))
    await play.drained()
    play.clock.advance(60 * DAY_S - 1)
    assert await play.store.get(["k0"]) == [b"x" * 10]
    play.clock.advance(1)
    assert await play.store.get(["k0"]) == [None]


async def test_an_item_counts_its_increments_once() -> None:
    play = Play()
    item = Item("k", b"1", (Increment("author", "all"),))
    for _ in range(3):
        play.store.put([item, item])
        await play.drained()
    assert await play.memory.counters(["author"]) == [{"all": 1}]
    assert play.store.stats.written == 1


async def test_an_unclear_failure_counts_once() -> None:
    """The store wrote, but its answer came too late."""
    play = Play(write_timeout_s=0.01)
    item = Item("k", b"1", (Increment("author", "all"),))
    await play.memory.set_many([item], only_new=True)
    play.backend.hang()
    play.store.put([item])
    await play.backend.wait_for_calls(2)
    play.backend.heal()
    assert await play.drained() == 0
    assert await play.memory.counters(["author"]) == [{"all": 1}]


async def test_what_does_not_fit_is_dropped_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    play = Play(max_pending_items=3)
    with caplog.at_level(logging.WARNING, "penstock.stores"):
        play.store.put(items(5))
        play.store.put(items(2, start=9))
    assert play.store.stats.dropped == {"queue_full": 4}
    assert len(caplog.records) == 1
    assert await play.drained() == 0
    assert await play.memory.get_many(["k2", "k3", "k9"]) == [b"x" * 10, None, None]


async def test_while_the_store_is_down_nothing_is_lost() -> None:
    play = Play()
    play.backend.fail()
    play.store.put(items(300))
    await turns()
    assert play.store.stats.pending_items == 300
    assert play.store.stats.errors == {("write", "unavailable"): 1}
    play.backend.heal()
    await play.backend.wait_for_calls(2)  # it tries again by itself
    assert await play.drained() == 0
    assert play.store.stats.written == 300


async def test_the_breaker_spares_a_store_that_is_down() -> None:
    play = Play(breaker=BreakerOptions(failures=1))
    play.backend.fail()
    play.store.put(items(1))
    await turns()
    for n in range(50):
        play.store.put(items(1, start=n))
        await turns(2)
    assert play.backend.calls == ["set_many"]
    assert play.store.stats.is_open == {"read": False, "write": True}
    play.backend.heal()
    assert await play.drained() == 0  # draining asks all the same


async def test_what_is_refused_again_and_again_is_dropped() -> None:
    play = Play()
    play.backend.fail(StoreError("no room", fault=StoreFault.FULL))
    play.store.put(items(2))
    assert await play.store.drain(30) == 0
    assert play.store.stats.dropped == {"full": 2}
    assert play.store.stats.errors == {("write", "full"): 12}


async def test_what_cannot_be_drained_is_counted() -> None:
    play = Play()
    play.store.put(items(5))
    play.backend.hang()
    assert await play.store.drain(0.01) == 5
    assert play.store.stats.dropped == {"not_drained": 5}
    assert play.store.stats.pending_items == 0
    play.backend.heal()
    await turns()
    assert play.memory.num_bytes == 0
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "write-behind"]


async def test_closing_drains_and_takes_nothing_more() -> None:
    play = Play()
    play.store.put(items(700))
    written = play.store.stats
    await play.store.close()
    assert play.backend.calls == ["set_many"] * 3 + ["close"]
    assert written.written == 700
    play.store.put(items(2))
    assert written.dropped == {"closed": 2}
    assert await play.store.get(["k0"]) == [None]


@given(
    st.integers(0, 6),
    st.integers(0, 3000),
    st.lists(
        st.one_of(
            st.lists(st.tuples(st.integers(0, 12), st.integers(0, 900)), max_size=5),
            st.sampled_from(["fail", "heal", "turn", "turn"]),
        ),
        max_size=25,
    ),
)
def test_bounds_hold_and_every_item_is_accounted_for(
    max_items: int, max_bytes: int, steps: list[list[tuple[int, int]] | str]
) -> None:
    asyncio.run(_play(max_items, max_bytes, steps))


async def _play(max_items: int, max_bytes: int, steps: list[list[tuple[int, int]] | str]) -> None:
    play = Play(max_pending_items=max_items, max_pending_bytes=max_bytes)
    stats = play.store.stats
    taken: set[str] = set()
    for step in steps:
        if isinstance(step, list):
            for number, size in step:
                item = Item(f"k{number}", b"x" * size, (Increment("c", item_key(number)),))
                waits = play.store._writes.get(item.key) is not None
                room = (
                    stats.pending_items < max_items
                    and stats.pending_bytes + item_bytes(item) <= max_bytes
                )
                dropped = dict(stats.dropped)
                play.store.put([item])
                assert (stats.dropped == dropped) == (waits or room)
                taken |= {item.key} if room or waits else set()
        elif step == "turn":
            await turns(6)
        else:
            play.backend.fail() if step == "fail" else play.backend.heal()
        assert stats.pending_items <= max_items
        assert stats.pending_bytes <= max_bytes
    play.backend.heal()
    assert await play.drained() == 0
    assert stats.pending_bytes == stats.pending_items == 0
    found = await play.memory.get_many(sorted(taken))
    assert all(value is not None for value in found)
    assert stats.written == len(taken)
    assert await play.memory.counters(["c"]) == [{item_key(int(k[1:])): 1 for k in taken}]


def item_key(number: int) -> str:
    return f"f{number}"
