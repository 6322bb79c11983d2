"""Lookups that wait go out together, and never get another's answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.errors import StoreError, StoreFault
from penstock.stores.grouped_reads import GroupedReads


class PuppetStore:
    """Holds each fetch until it is pulled; a key's value is the key."""

    def __init__(self) -> None:
        self.fetches: list[list[str]] = []
        self._held: list[asyncio.Future[None]] = []

    async def fetch(self, keys: Sequence[str]) -> list[bytes | None]:
        self.fetches.append(list(keys))
        self._held.append(asyncio.get_running_loop().create_future())
        await self._held[-1]
        return [key.encode() for key in keys]

    def pull(self, error: Exception | None = None) -> bool:
        """End the fetch at hand; whether there was one."""
        if not self._held or self._held[-1].done():
            return False
        if error is None:
            self._held[-1].set_result(None)
        else:
            self._held[-1].set_exception(error)
        return True


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def started(reads: GroupedReads, *keys: str) -> asyncio.Task[list[bytes | None]]:
    task = asyncio.create_task(reads.get_many(keys))
    await turns(1)
    return task


async def test_those_that_wait_share_the_next_fetch() -> None:
    store = PuppetStore()
    reads = GroupedReads(store.fetch)
    tasks = [await started(reads, *keys) for keys in ("a", "bc", "d", "a")]
    assert store.fetches == [["a"]]
    store.pull()
    await turns()
    assert store.fetches == [["a"], ["b", "c", "d", "a"]]
    store.pull()
    assert await asyncio.gather(*tasks) == [[b"a"], [b"b", b"c"], [b"d"], [b"a"]]


async def test_a_lookup_alone_waits_for_nobody() -> None:
    store = PuppetStore()
    reads = GroupedReads(store.fetch)
    for key in "ab":
        task = await started(reads, key)
        store.pull()
        assert await task == [key.encode()]


async def test_a_failure_reaches_those_that_were_fetched_for() -> None:
    store = PuppetStore()
    reads = GroupedReads(store.fetch)
    tasks = [await started(reads, key) for key in "abc"]
    store.pull()
    await turns()
    late = await started(reads, "late")
    store.pull(StoreError("gone", fault=StoreFault.FULL))
    await turns()
    store.pull()
    first, *failed = await asyncio.gather(*tasks, return_exceptions=True)
    assert first == [b"a"]
    assert [getattr(error, "fault", None) for error in failed] == [StoreFault.FULL] * 2
    assert failed[0] is not failed[1]
    assert await late == [b"late"]


async def test_who_fetches_may_be_cancelled() -> None:
    store = PuppetStore()
    reads = GroupedReads(store.fetch)
    first, second, third = [await started(reads, key) for key in "abc"]
    first.cancel()
    await turns()
    assert store.fetches == [["a"], ["b", "c"]]
    second.cancel()
    await turns()
    assert store.fetches == [["a"], ["b", "c"], ["c"]]
    store.pull()
    assert await third == [b"c"]


async def test_too_many_keys_go_in_two_fetches() -> None:
    store = PuppetStore()
    reads = GroupedReads(store.fetch)
    first = await started(reads, "a")
    many = [await started(reads, *(f"{n}:{k}" for k in range(400))) for n in range(5)]
    while not all(task.done() for task in many):
        store.pull()
        await turns()
    await first
    assert [len(keys) for keys in store.fetches] == [1, 800, 800, 400]


async def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.stores.grouped_reads._MAX_WAITING", 2)
    store = PuppetStore()
    reads = GroupedReads(store.fetch)
    tasks = [await started(reads, key) for key in "abc"]
    with pytest.raises(StoreError) as refusal:
        await reads.get_many(["d"])
    assert refusal.value.fault is StoreFault.BUSY
    while not all(task.done() for task in tasks):
        store.pull()
        await turns()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 3)),
        st.tuples(st.just("cancel"), st.integers(0, 20)),
        st.tuples(st.just("pull"), st.integers(0, 1)),
        st.tuples(st.just("fail"), st.just(0)),
        st.tuples(st.just("turn"), st.integers(1, 2)),
    ),
    max_size=40,
)


@given(STEPS)
def test_whatever_happens_each_gets_its_own(steps: list[tuple[str, int]]) -> None:
    asyncio.run(_play(steps))


async def _play(steps: list[tuple[str, int]]) -> None:
    store = PuppetStore()
    reads = GroupedReads(store.fetch)
    asked: list[tuple[list[str], asyncio.Task[list[bytes | None]]]] = []
    cancelled = set()
    for name, number in steps:
        if name == "ask":
            keys = [f"{len(asked)}.{n}" for n in range(number)]
            asked.append((keys, asyncio.create_task(reads.get_many(keys))))
        elif name == "cancel" and asked:
            cancelled.add(number % len(asked))
            asked[number % len(asked)][1].cancel()
        elif name == "pull":
            store.pull()
        elif name == "fail":
            store.pull(StoreError("told to"))
        else:
            await turns(number)
    for _ in range(200):
        store.pull()
        await turns(2)
    for index, (keys, task) in enumerate(asked):
        assert task.done()
        if task.cancelled():
            assert index in cancelled
        elif (error := task.exception()) is not None:
            assert isinstance(error, StoreError)
        else:
            assert task.result() == [key.encode() for key in keys]
    assert not reads._is_fetching
    assert not reads._queue
