"""What every Backend promises. An implementation's test inherits it and makes the backends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from penstock.core.errors import StoreError, StoreFault
from penstock.stores.backend import Backend, Increment, Item
from penstock.stores.rebuild import rebuild_counters

TTL_S = 100.0
ODD_KEYS = ["*", "a?c", "[a]", "\\", "a b", "\r\n", "\0", "ü", "\U0010ffff", "", "%", "_", "^", "-"]


async def scanned(backend: Backend, prefix: str, page: int = 1000) -> dict[str, bytes]:
    """Everything a scan shows."""
    return {i.key: i.value async for items in backend.scan(prefix, page=page) for i in items}


class BackendContract:
    """The law of ``stores/backend.py`` as tests. ``backend`` and ``advance`` are the subclass's."""

    @pytest.fixture
    def backend(self) -> AsyncIterator[Backend]:
        raise NotImplementedError

    async def advance(self, backend: Backend, seconds: float) -> None:
        """Let so much time pass for the backend."""
        raise NotImplementedError

    async def test_what_is_set_is_got(self, backend: Backend) -> None:
        values = [b"", b"\0\xff", b"x" * 100_000]
        items = [Item(f"k{n}", value) for n, value in enumerate(values)]
        assert await backend.set_many(items) == [True] * 3
        assert await backend.get_many(["k1", "no", "k0", "k2", "k1"]) == [
            values[1],
            None,
            values[0],
            values[2],
            values[1],
        ]

    async def test_nothing_is_asked_for_nothing(self, backend: Backend) -> None:
        assert await backend.get_many([]) == []
        assert await backend.set_many([]) == []
        assert await backend.counters([]) == []
        assert await backend.delete([]) == 0
        assert await backend.expire([], 1) == 0
        await backend.increment([])

    @pytest.mark.parametrize("key", ODD_KEYS)
    async def test_any_text_is_a_key(self, backend: Backend, key: str) -> None:
        other = f"{key}x" if key != "" else "other"
        await backend.set_many([Item(key, b"1"), Item(other, b"2")])
        assert await backend.get_many([key, other]) == [b"1", b"2"]
        assert await scanned(backend, key) == (
            {key: b"1", other: b"2"} if other.startswith(key) else {key: b"1"}
        )
        assert await backend.delete([key]) == 1
        assert await backend.get_many([key, other]) == [None, b"2"]

    async def test_the_last_of_a_key_wins(self, backend: Backend) -> None:
        assert await backend.set_many([Item("k", b"1"), Item("k", b"2")]) == [True, True]
        assert await backend.set_many([Item("k", b"3")]) == [True]
        assert await backend.get_many(["k"]) == [b"3"]

    async def test_only_new_leaves_alone_what_is_there(self, backend: Backend) -> None:
        await backend.set_many([Item("old", b"1")])
        items = [Item("old", b"2"), Item("new", b"3"), Item("new", b"4")]
        assert await backend.set_many(items, only_new=True) == [False, True, False]
        assert await backend.get_many(["old", "new"]) == [b"1", b"3"]

    async def test_items_expire(self, backend: Backend) -> None:
        await backend.set_many([Item("short", b"1")], ttl_s=TTL_S)
        await backend.set_many([Item("long", b"2")], ttl_s=3 * TTL_S)
        await backend.set_many([Item("ever", b"3")])
        await self.advance(backend, TTL_S / 2)
        assert await backend.get_many(["short", "long", "ever"]) == [b"1", b"2", b"3"]
        await self.advance(backend, TTL_S)
        assert await backend.get_many(["short", "long", "ever"]) == [None, b"2", b"3"]
        assert await scanned(backend, "") == {"long": b"2", "ever": b"3"}
        assert await backend.delete(["short"]) == 0
        assert await backend.expire(["short"], TTL_S) == 0

    async def test_what_expired_is_new_again(self, backend: Backend) -> None:
        await backend.set_many([Item("k", b"1")], ttl_s=TTL_S)
        await self.advance(backend, 2 * TTL_S)
        assert await backend.set_many([Item("k", b"2")], ttl_s=TTL_S, only_new=True) == [True]
        assert await backend.get_many(["k"]) == [b"2"]

    async def test_setting_again_renews_the_expiry(self, backend: Backend) -> None:
        await backend.set_many([Item("k", b"1"), Item("ever", b"1")], ttl_s=TTL_S)
        await self.advance(backend, TTL_S / 2)
        await backend.set_many([Item("k", b"2")], ttl_s=TTL_S)
        await backend.set_many([Item("ever", b"2")])
        await self.advance(backend, 0.75 * TTL_S)
        assert await backend.get_many(["k", "ever"]) == [b"2", b"2"]

    async def test_an_expiry_can_be_set_and_taken_away(self, backend: Backend) -> None:
        await backend.set_many([Item("a", b"1"), Item("b", b"2")])
        assert await backend.expire(["a", "no", "a"], TTL_S) == 1
        await backend.set_many([Item("c", b"3")], ttl_s=TTL_S)
        assert await backend.expire(["c", "no"], None) == 1
        await self.advance(backend, 2 * TTL_S)
        assert await backend.get_many(["a", "b", "c"]) == [None, b"2", b"3"]

    async def test_deleting(self, backend: Backend) -> None:
        await backend.set_many([Item("a", b"1"), Item("b", b"2")])
        assert await backend.delete(["a", "no", "a"]) == 1
        assert await backend.get_many(["a", "b"]) == [None, b"2"]

    @pytest.mark.parametrize("prefix", ["p:", "p:*", "p:[a]:", "p", ""])
    async def test_clearing_takes_the_prefix_and_nothing_else(
        self, backend: Backend, prefix: str
    ) -> None:
        keys = ["p:1", "p:*", "p:*2", "p:[a]:x", "p:a:x", "q:1", "p", "é"]
        await backend.set_many([Item(key, b"v") for key in keys])
        await backend.increment([Increment("p:count", "n"), Increment("q:count", "n")])
        count = await backend.clear(prefix)
        left = {key for key in keys if not key.startswith(prefix)}
        assert set(await scanned(backend, "")) == left
        counters = await backend.counters(["p:count", "q:count"])
        assert [bool(c) for c in counters] == [not k.startswith(prefix) for k in ("p:count", "q")]
        assert count == len(keys) - len(left) + sum(not c for c in counters)

    async def test_a_scan_shows_all_items_in_pages(self, backend: Backend) -> None:
        items = {f"s:{n:04}": b"%d" % n for n in range(2500)}
        await backend.set_many([Item(k, v) for k, v in items.items()])
        await backend.set_many([Item("t:1", b"other")])
        await backend.increment([Increment("s:count", "n")])
        assert await scanned(backend, "s:", page=100) == items
        assert await backend.clear("s:") == 2501

    async def test_counters_add_up(self, backend: Backend) -> None:
        await backend.increment([Increment("c", "a", 2), Increment("c", "b"), Increment("d", "a")])
        await backend.increment([Increment("c", "a", 3), Increment("c", "b", -5)])
        assert await backend.counters(["c", "no", "d"]) == [{"a": 5, "b": -4}, {}, {"a": 1}]

    async def test_increments_come_with_their_item(self, backend: Backend) -> None:
        item = Item("k", b"1", (Increment("c", "all"), Increment("c", "positive", 2)))
        for _ in range(3):
            await backend.set_many([item, item], ttl_s=TTL_S, only_new=True)
        assert await backend.counters(["c"]) == [{"all": 1, "positive": 2}]
        assert await backend.get_many(["k"]) == [b"1"]
        await backend.set_many([item])
        assert await backend.counters(["c"]) == [{"all": 2, "positive": 4}]

    async def test_counters_can_be_counted_again(self, backend: Backend) -> None:
        def counts(key: str, value: bytes) -> tuple[Increment, ...]:
            return (Increment(f"author:{value.decode()}", "all"), Increment("author:", key[2]))

        keys = [(f"i:{n}", b"ab"[n % 2 : n % 2 + 1]) for n in range(50)]
        await backend.set_many([Item(k, v, counts(k, v)) for k, v in keys], only_new=True)
        names = ["author:a", "author:b", "author:"]
        before = await backend.counters(names)
        await backend.increment([Increment("author:a", "all", 99), Increment("author:z", "all")])
        count = await rebuild_counters(
            backend,
            items="i:",
            counters="author:",
            increments_of=lambda item: counts(item.key, item.value),
        )
        assert count == 50
        assert await backend.counters([*names, "author:z"]) == [*before, {}]

    async def test_calls_at_once_do_not_mix(self, backend: Backend) -> None:
        await backend.set_many([Item(f"k{n}", b"%d" % n) for n in range(100)])

        async def read(n: int) -> bool:
            keys = [f"k{(n + i) % 100}" for i in range(n % 7)]
            return await backend.get_many(keys) == [key[1:].encode() for key in keys]

        assert all(await asyncio.gather(*(read(n) for n in range(200))))

    async def test_calls_that_are_cancelled_do_not_mix(self, backend: Backend) -> None:
        await backend.set_many([Item(f"k{n}", b"%d" % n) for n in range(100)])

        async def read(n: int) -> list[bytes | None]:
            return await backend.get_many([f"k{n}", f"k{99 - n}"])

        for steps in range(8):
            tasks = [asyncio.create_task(read(n)) for n in range(100)]
            for _ in range(steps):
                await asyncio.sleep(0)
            for task in tasks[::3]:
                task.cancel()
            got = await asyncio.gather(*tasks, return_exceptions=True)
            for n, values in enumerate(got):
                if not isinstance(values, asyncio.CancelledError):
                    assert values == [b"%d" % n, b"%d" % (99 - n)]

    async def test_it_answers_a_ping(self, backend: Backend) -> None:
        await backend.ping()

    async def test_after_close_every_call_is_refused(self, backend: Backend) -> None:
        await backend.close()
        for call in (
            backend.get_many(["k"]),
            backend.set_many([Item("k", b"")]),
            backend.delete(["k"]),
            backend.counters(["k"]),
            backend.ping(),
        ):
            with pytest.raises(StoreError) as refusal:
                await call
            assert refusal.value.fault is StoreFault.CLOSED
        await backend.close()
