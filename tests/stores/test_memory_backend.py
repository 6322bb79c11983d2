"""The bound in bytes, and who makes room."""

from __future__ import annotations

import asyncio
import contextlib
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.errors import StoreError, StoreFault
from penstock.stores.backend import Increment, Item
from penstock.stores.memory_backend import MemoryBackend
from penstock.testing.fake_clock import FakeClock

ITEM = 1 + 100 + 250


def item(key: str) -> Item:
    return Item(key, b"x" * 100)


async def test_the_least_recently_used_makes_room() -> None:
    backend = MemoryBackend(max_bytes=3 * ITEM)
    await backend.set_many([item("a"), item("b"), item("c")])
    await backend.get_many(["a"])
    assert await backend.set_many([item("d")]) == [True]
    assert [v is not None for v in await backend.get_many(list("abcd"))] == [
        True,
        False,
        True,
        True,
    ]
    assert backend.evicted == 1
    assert backend.num_bytes == 3 * ITEM


async def test_what_never_fits_is_not_written_and_evicts_nothing() -> None:
    backend = MemoryBackend(max_bytes=3 * ITEM)
    await backend.set_many([item("a"), item("b")])
    assert await backend.set_many([Item("b", b"x" * 2000)]) == [False]
    assert [v is not None for v in await backend.get_many(["a", "b"])] == [True, False]


async def test_counters_make_items_go_but_never_each_other() -> None:
    backend = MemoryBackend(max_bytes=3 * ITEM)
    await backend.set_many([item("a"), item("b"), item("c")])
    await backend.increment([Increment("n", f"f{n}") for n in range(3)])
    assert [v is not None for v in await backend.get_many(["a", "b", "c"])] == [False, False, False]
    with pytest.raises(StoreError) as refusal:
        await backend.increment([Increment("n", f"more{n}") for n in range(3)])
    assert refusal.value.fault is StoreFault.FULL
    assert await backend.counters(["n"]) == [{"f0": 1, "f1": 1, "f2": 1}]
    await backend.increment([Increment("n", "f0", 5)])
    assert await backend.clear("n") == 1
    assert backend.num_bytes == 0


keys = st.sampled_from(["a", "b", "long" * 20])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("set"), keys, st.integers(0, 1500)),
        st.tuples(st.just("count"), keys, st.integers(0, 9)),
        st.tuples(st.just("get"), keys, st.just(0)),
        st.tuples(st.just("delete"), keys, st.just(0)),
        st.tuples(st.just("clear"), keys, st.just(0)),
        st.tuples(st.just("pass"), keys, st.integers(0, 20)),
    ),
    max_size=40,
)


@given(st.integers(0, 4000), steps)
def test_the_bound_holds(max_bytes: int, plan: list[tuple[str, str, int]]) -> None:
    asyncio.run(_play(max_bytes, plan))


async def _play(max_bytes: int, plan: list[tuple[str, str, int]]) -> None:
    clock = FakeClock()
    backend = MemoryBackend(max_bytes, clock)
    for name, key, number in plan:
        if name == "set":
            increments = (Increment("c" + key, "n"),) if number % 2 else ()
            new = Item(key, b"x" * number, increments)
            await backend.set_many([new], ttl_s=10, only_new=bool(number % 3))
        elif name == "count":
            with contextlib.suppress(StoreError):  # it is full
                await backend.increment([Increment("c" + key, str(number))])
        elif name == "pass":
            clock.advance(number)
        elif name == "clear":
            await backend.clear(key[:1])
        else:
            await (backend.get_many([key]) if name == "get" else backend.delete([key]))
        held = sum(len(k) + sys.getsizeof(e.value) for k, e in backend._items.items())
        assert held <= backend.num_bytes <= max_bytes
    await backend.clear("")
    assert backend.num_bytes == 0
