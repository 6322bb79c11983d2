"""Real Redis servers that are absent, killed, paused, full, locked or mad."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from penstock.core.errors import StoreError, StoreFault
from penstock.stores.backend import Increment, Item
from penstock.stores.breaker import BreakerOptions
from penstock.stores.open_backend import open_backend
from penstock.stores.prediction_store import PredictionStore, PredictionStoreOptions
from penstock.testing.fake_clock import FakeClock
from tests.stores.playing import Computer
from tests.stores.redis_server import RedisServer, free_port

pytestmark = pytest.mark.fault

SLACK_S = 2.0  # what a busy machine may add
OPTIONS = PredictionStoreOptions(
    timeout_s=0.2, write_timeout_s=0.5, drain_timeout_s=20, breaker=BreakerOptions(failures=3)
)


class Live:
    """A prediction store on a server."""

    def __init__(self, url: str, options: PredictionStoreOptions = OPTIONS) -> None:
        self.clock = FakeClock()
        self.store = PredictionStore(open_backend(url), options, clock=self.clock)
        self.slowest_s = 0.0

    async def predict(self, key: str) -> bool:
        """Predict; whether it was a hit. The value is the key."""

        async def compute(positions: object) -> list[bytes]:
            return [key.encode()]

        started = time.monotonic()
        (lookup,) = await self.store.get_or_compute([key], compute)
        self.slowest_s = max(self.slowest_s, time.monotonic() - started)
        assert lookup.value == key.encode()
        return lookup.hit


@asynccontextmanager
async def live(url: str) -> AsyncIterator[Live]:
    it = Live(url)
    try:
        yield it
    finally:
        await it.store.close()


@pytest.mark.timed
async def test_absent_at_start_and_there_later(make_redis: Callable[..., RedisServer]) -> None:
    server = make_redis()
    async with live(server.url) as it:
        for n in range(20):
            assert not await it.predict(f"k{n}")
        assert it.store.stats.errors["read", "unavailable"] == 3
        assert it.store.stats.is_open["read"]
        assert it.slowest_s < SLACK_S
        server.start()
        assert await it.store.drain(10) == 0  # what was computed meanwhile is not lost
        it.clock.advance(60)
        assert [await it.predict(f"k{n}") for n in range(20)] == [True] * 20
        assert not it.store.stats.is_open["read"]


@pytest.mark.timed
async def test_killed_under_load(redis: RedisServer) -> None:
    async with live(redis.url) as it:
        is_over = False
        done = [0] * 20
        stats = it.store.stats

        async def client(number: int) -> None:
            while not is_over:
                await it.predict(f"k{(done[number] * 7 + number) % 500}")
                done[number] += 1
                await asyncio.sleep(0)

        async def everybody_goes_on(stage: Callable[[], bool] = lambda: True) -> None:
            """Wait until every client was answered ten more times, and until the stage."""
            goals = [count + 10 for count in done]
            async with asyncio.timeout(40):
                while not (all(map(int.__ge__, done, goals)) and stage()):
                    await it.predict("watch")
                    await asyncio.sleep(0)

        clients = [asyncio.create_task(client(n)) for n in range(len(done))]
        await everybody_goes_on(lambda: stats.lookups["hit"] > 100)
        redis.kill()
        await everybody_goes_on(lambda: stats.is_open["read"])
        redis.start()
        it.clock.advance(60)
        await everybody_goes_on(lambda: not stats.is_open["read"])
        hits = stats.lookups["hit"]
        await everybody_goes_on(lambda: stats.lookups["hit"] > hits)
        is_over = True
        await asyncio.gather(*clients)
        assert it.slowest_s < OPTIONS.timeout_s + SLACK_S
        it.store.put([Item("last", b"one")])
        assert await it.store.drain(10) == 0
        assert await it.store.backend.get_many(["last"]) == [b"one"]
        assert stats.dropped == {}


@pytest.mark.timed
async def test_paused_and_resumed(redis: RedisServer) -> None:
    async with live(redis.url) as it:
        it.store.put([Item(f"k{n}", f"k{n}".encode()) for n in range(50)])
        assert await it.store.drain(10) == 0
        redis.pause()
        started = time.monotonic()
        for n in range(50):
            await it.predict(f"k{n}")
        assert time.monotonic() - started < 3 * OPTIONS.timeout_s + SLACK_S
        assert it.store.stats.errors["read", "timeout"] == 3
        redis.resume()
        it.clock.advance(60)
        assert await it.predict("k0")  # the probe
        got = await asyncio.gather(*(it.predict(f"k{n}") for n in range(50)))
        assert all(got)  # and each its own value: no reply of before the pause is taken for it


async def test_full(redis: RedisServer) -> None:
    async with live(redis.url) as it, Redis(port=redis.port) as admin:
        it.store.put([Item("early", b"early")])
        assert await it.store.drain(10) == 0
        await admin.config_set("maxmemory-policy", "noeviction")
        await admin.config_set("maxmemory", 1)
        with pytest.raises(StoreError) as refusal:
            await it.store.backend.set_many([Item("x", b"x")])
        assert refusal.value.fault is StoreFault.FULL
        item = Item("k", b"x", (Increment("c", "all"),))
        it.store.put([item])
        assert await it.store.drain(30) == 0
        assert it.store.stats.dropped == {"full": 1}
        assert await it.predict("early")  # reading goes on
        assert await it.store.backend.counters(["c"]) == [{}]
        await admin.config_set("maxmemory", 0)
        it.store.put([item])
        assert await it.store.drain(10) == 0
        assert await it.store.backend.counters(["c"]) == [{"all": 1}]


GARBAGE = [
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"+OK\r\n",
    b":1\r\n",
    b"$5\r\nhello\r\n",
    b"*1\r\n:7\r\n",
    b"*1\r\n*1\r\n$1\r\nx\r\n",
    b"*100000\r\n",
    b"$1000000000\r\nx",
    b"-ERR what?\r\n",
    b"\0\xff\n" * 10,
    b"",
]


@asynccontextmanager
async def mad_server(garbage: bytes) -> AsyncIterator[str]:
    """A server that answers everything with the same; its URL."""
    ended: list[asyncio.Event] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended.append(asyncio.Event())
        mine = ended[-1]
        with contextlib.suppress(ConnectionError):
            while await reader.read(4096) and garbage:
                writer.write(garbage)
            writer.close()
            await writer.wait_closed()
        mine.set()

    port = free_port()
    server = await asyncio.start_server(answer, "127.0.0.1", port)
    yield f"redis://127.0.0.1:{port}/0"
    server.close()
    for event in ended:
        await event.wait()


@pytest.mark.timed
@pytest.mark.parametrize("garbage", GARBAGE)
async def test_answering_garbage(garbage: bytes) -> None:
    async with mad_server(garbage) as url:
        it = Live(url)
        for n in range(10):
            assert not await it.predict(f"k{n}")
        assert sum(it.store.stats.errors.values()) >= 3
        assert it.slowest_s < OPTIONS.timeout_s + SLACK_S
        backend = it.store.backend
        for call in (
            backend.ping(),
            backend.counters(["k"]),
            backend.delete(["k"]),
            backend.expire(["k"], 1),
            backend.clear("k"),
            backend.set_many([Item("k", b"")]),
        ):
            with contextlib.suppress(StoreError, TimeoutError):
                async with asyncio.timeout(0.1):
                    await call
        await it.store.drain(0.3)
        await it.store.close()


async def test_writes_pending_at_close_are_drained(redis: RedisServer) -> None:
    async with live(redis.url) as it:
        it.store.put([Item(f"k{n}", b"v", (Increment("c", "all"),)) for n in range(5000)])
    backend = open_backend(redis.url)
    assert await backend.counters(["c"]) == [{"all": 5000}]
    assert await backend.clear("k") == 5000
    await backend.close()


async def test_passwords(make_redis: Callable[..., RedisServer]) -> None:
    server = make_redis("--requirepass", "right-one")
    server.start()
    place = f"127.0.0.1:{server.port}/0"
    for url in (f"redis://{place}", f"redis://:wrong-one@{place}"):
        backend = open_backend(url)
        with pytest.raises(StoreError) as refusal:
            await backend.ping()
        assert "wrong-one" not in refusal.value.message
        assert place in refusal.value.message
        await backend.close()
    backend = open_backend(f"redis://:right-one@{place}")
    await backend.ping()
    await backend.close()


async def test_a_unix_socket(make_redis: Callable[..., RedisServer], tmp_path: object) -> None:
    server = make_redis("--unixsocket", f"{tmp_path}/r.sock")
    server.start()
    async with live(f"unix://{tmp_path}/r.sock?db=3") as it:
        it.store.put([Item("k", b"k")])
        await it.store.drain(10)
        assert await it.predict("k")
    other = open_backend(f"redis://127.0.0.1:{server.port}/3")
    assert await other.get_many(["k"]) == [b"k"]
    await other.close()


async def test_keys_is_never_asked_for(redis: RedisServer) -> None:
    """Nor any other command that stops the server: what it counted says so."""
    backend = open_backend(redis.url)
    await backend.set_many([Item(f"k{n}", b"v", (Increment("c", "n"),)) for n in range(3000)])
    assert sum([len(page) async for page in backend.scan("k", page=10)]) == 3000
    assert await backend.clear("") == 3001
    async with Redis(port=redis.port) as client:
        commands = await client.info("commandstats")
    assert "cmdstat_keys" not in commands
    assert "cmdstat_flushdb" not in commands
    assert "cmdstat_scan" in commands
    await backend.close()


async def test_more_calls_than_connections_wait(redis: RedisServer) -> None:
    backend = open_backend(f"{redis.url}?max_connections=2")
    await asyncio.gather(*(backend.increment([Increment("c", "n")]) for _ in range(50)))
    assert await backend.counters(["c"]) == [{"n": 50}]
    await backend.close()


async def test_a_miss_computes_once_across_many_requests(redis: RedisServer) -> None:
    async with live(redis.url) as it:
        computer = Computer(waits=True)
        tasks = [asyncio.create_task(it.store.get_or_compute(["k"], computer)) for _ in range(50)]
        async with asyncio.timeout(10):
            await computer.called.wait()
        computer.go()
        assert {lookups[0].value for lookups in await asyncio.gather(*tasks)} == {b"v0"}
        assert computer.calls == [[0]]
