"""Control stores on real servers that are absent, restarted, killed, paused, emptied or behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

import asyncpg
import pytest
from redis.asyncio import Redis

from penstock.core.errors import StoreError, StoreFault
from penstock.lifecycle.reconciler import Reconciler
from penstock.stores.control_store import Change, ControlStore, ServingProcess, Wish
from penstock.stores.open_control_store import open_control_store
from tests.stores.postgres_server import PostgresServer
from tests.stores.redis_server import RedisServer

pytestmark = pytest.mark.fault

SLACK_S = 3.0  # what a busy machine may add to the two seconds
ME = ServingProcess("me", 1)


class Server(Protocol):
    url: str

    def start(self) -> None: ...
    def kill(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


@asynccontextmanager
async def opened(url: str, *, is_new: bool = True) -> AsyncIterator[ControlStore]:
    store = open_control_store(url, is_new=is_new)
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture(params=["redis", "postgres"])
async def server(request: pytest.FixtureRequest) -> Server:
    """A server that keeps what it has confirmed, empty and started."""
    if request.param == "redis":
        make = request.getfixturevalue("make_redis")
        redis: RedisServer = make("--appendonly", "yes", "--appendfsync", "always")
        redis.start()
        return redis
    postgres: PostgresServer = request.getfixturevalue("postgres")
    await on_postgres(postgres, "DROP SCHEMA IF EXISTS penstock CASCADE")
    return postgres


async def on_postgres(server: PostgresServer, statement: str) -> None:
    may_write = {"default_transaction_read_only": "off"}
    db = await asyncpg.connect(server.url, server_settings=may_write)
    await db.execute(statement)
    await db.close()


async def empty(server: Server) -> None:
    """All that the store has kept is gone; the server goes on."""
    if isinstance(server, PostgresServer):
        await on_postgres(server, "DROP SCHEMA IF EXISTS penstock CASCADE")
    else:
        async with Redis.from_url(server.url) as redis:
            await redis.flushall()


async def fall_behind(server: Server, revision: int) -> None:
    """It is a copy of itself that lacks the changes above a revision."""
    if isinstance(server, PostgresServer):
        await on_postgres(server, f"DELETE FROM penstock.changes WHERE revision > {revision}")
        await on_postgres(server, f"UPDATE penstock.state SET revision = {revision}")
    else:
        async with Redis.from_url(server.url) as redis:
            await redis.hset("penstock:{control}:state", "revision", str(revision))


async def fault_of(call: Awaitable[Any], match: str = "the control store") -> StoreFault:
    started = time.monotonic()
    with pytest.raises(StoreError, match=match) as refusal:
        await call
    assert time.monotonic() - started < 2 + SLACK_S
    assert "127.0.0.1" not in refusal.value.message, "clients read it"
    return refusal.value.fault


async def until_it_answers(store: ControlStore) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                await store.version()
            except StoreError:
                await asyncio.sleep(0.01)
            else:
                return


async def test_absent_at_first_and_there_later(server: Server) -> None:
    server.kill()
    async with opened(server.url) as store:
        assert await fault_of(store.desired()) is StoreFault.UNAVAILABLE
        assert await fault_of(store.version()) is StoreFault.UNAVAILABLE
        server.start()
        await until_it_answers(store)
        assert await store.change(Wish("a", 1)) == 1


async def test_killed_under_calls(server: Server) -> None:
    """What was confirmed is there afterwards, once and in its place."""
    confirmed: dict[int, int] = {}
    failed: list[str] = []
    has_failed, progress = asyncio.Event(), asyncio.Event()
    is_over = False

    async def write(store: ControlStore, number: int) -> None:
        value = number
        while not is_over:
            value += 100
            try:
                revision = await store.change(Wish(f"s{number}", value))
            except StoreError as err:
                failed.append(f"{err.fault}: {err.message}")
                has_failed.set()
                await asyncio.sleep(0.01)
            else:
                assert revision is not None
                assert revision not in confirmed
                confirmed[revision] = value
                progress.set()

    async def more(count: int) -> None:
        goal = len(confirmed) + count
        async with asyncio.timeout(30):
            while len(confirmed) < goal:
                progress.clear()
                await progress.wait()

    async with opened(server.url) as one, opened(server.url) as two:
        writers = [asyncio.create_task(write((one, two)[n % 2], n)) for n in range(6)]
        await more(50)
        server.kill()
        await asyncio.wait_for(has_failed.wait(), 10)
        server.start()
        await more(50)
        is_over = True
        await asyncio.gather(*writers)
        kept = {change.revision: change.value for change in await one.history(limit=100_000)}
    assert {revision: kept.get(revision) for revision in confirmed} == confirmed
    assert sorted(kept) == list(range(1, max(kept) + 1))
    assert {text for text in failed if not text.startswith(("unavailable", "timeout"))} == set()


@pytest.mark.timed
async def test_paused_and_resumed(server: Server) -> None:
    """No call hangs, nor does the event loop; no answer of before is taken for a later one."""
    async with opened(server.url) as store:
        await store.change(Wish("a", "A"))
        await store.change(Wish("b", "B"))
        calls: list[Callable[[], Awaitable[Any]]] = [
            store.desired,
            store.version,
            lambda: store.change(Wish("c", "C")),
            lambda: store.history("a"),
            lambda: store.acquire("l", "one", 3),
            lambda: store.published("counts/m"),
            lambda: store.report(ME),
        ]
        server.pause()
        try:
            longest_s = 0.0

            async def watch() -> None:
                nonlocal longest_s
                while True:
                    started = time.monotonic()
                    await asyncio.sleep(0.01)
                    longest_s = max(longest_s, time.monotonic() - started)

            watching = asyncio.create_task(watch())
            faults = await asyncio.gather(*(fault_of(call()) for call in calls))
            watching.cancel()
        finally:
            server.resume()
        assert set(faults) == {StoreFault.TIMEOUT}
        assert longest_s < 1, "the event loop was held up"
        await until_it_answers(store)
        told = await asyncio.gather(*(store.history(one) for one in "abab"))
        assert [one[0].value for one in told] == ["A", "B", "A", "B"]


async def test_a_caller_that_goes_away_spoils_nothing(server: Server) -> None:
    async with opened(server.url) as store:
        await store.change(Wish("a", "A"))
        await store.change(Wish("b", "B"))
        for turns in range(40):
            leaving = asyncio.create_task(store.history("a"))
            for _ in range(turns):
                await asyncio.sleep(0)
            leaving.cancel()
            assert (await store.history("b"))[0].value == "B"


async def test_emptied_while_it_is_used(server: Server) -> None:
    async with opened(server.url) as store:
        await store.change(Wish("a", 1))
        await empty(server)
        for _ in range(2):  # what is told again does not make it anew
            assert await fault_of(store.version()) is StoreFault.REFUSED
            assert await fault_of(store.change(Wish("a", 2))) is StoreFault.REFUSED
            assert await fault_of(store.desired()) is StoreFault.REFUSED
        async with opened(server.url) as later:
            assert await later.desired() == []
            assert await later.change(Wish("b", 1)) == 1
            assert await fault_of(store.change(Wish("a", 2)), "replaced") is StoreFault.REFUSED
            assert [one.subject for one in await later.desired()] == ["b"]


async def test_confirmed_changes_are_lost(server: Server) -> None:
    async with opened(server.url) as store:
        for n in range(5):
            await store.change(Wish("a", n))
        await fall_behind(server, 3)
        for call in (store.version, store.desired):
            assert await fault_of(call(), "has lost changes: it is at 3 and was at 5")
        async with opened(server.url) as later:
            for n in range(5):  # the same numbers again
                await later.change(Wish("b", n))
        assert await fault_of(store.desired(), "has lost changes") is StoreFault.REFUSED


async def test_a_follower_does_not_make_a_store(server: Server) -> None:
    async with opened(server.url, is_new=False) as store:
        assert await fault_of(store.desired(), "is not there") is StoreFault.REFUSED
        assert await fault_of(store.change(Wish("a", 1)), "is not there") is StoreFault.REFUSED
        async with opened(server.url) as maker:
            await maker.change(Wish("a", 1))
        assert [one.value for one in await store.desired()] == [1]


async def test_many_make_the_store_at_the_same_moment(server: Server) -> None:
    stores = [open_control_store(server.url, is_new=True) for _ in range(8)]
    revisions = await asyncio.gather(*(one.change(Wish("a", n)) for n, one in enumerate(stores)))
    assert sorted(filter(None, revisions)) == list(range(1, 9))
    for one in stores:
        assert len(await one.history()) == 8
        await one.close()


async def test_what_a_server_does_without_its_store(server: Server) -> None:
    """Changes are refused, what is applied stays, and somebody is told; then all goes on."""
    applied: list[tuple[int, Any]] = []
    told: list[bool] = []
    news = asyncio.Event()

    def tell(is_up: bool) -> None:
        told.append(is_up)
        news.set()

    async def all_told(*expected: bool) -> None:
        async with asyncio.timeout(30):
            while told != [*expected]:
                news.clear()
                await news.wait()

    async with opened(server.url) as one, opened(server.url) as two:
        reconcilers = []
        for number, store in enumerate((one, two), 1):

            async def apply(change: Change, number: int = number) -> None:
                applied.append((number, change.value))

            me = ServingProcess(f"p{number}", number)
            watcher = {"tell_up": tell} if number == 1 else {}
            reconcilers.append(Reconciler(store, me, apply, **watcher))
            await reconcilers[-1].begin()
            await reconcilers[-1].follow({})

        async def order(value: str) -> None:
            work = reconcilers[0].order("model/m", lambda _: value, who="REST", why="load")
            await asyncio.wait_for(work, 30)

        await order("first")
        assert sorted(applied) == [(1, "first"), (2, "first")]
        server.kill()
        await all_told(True, False)
        assert await fault_of(order("refused"))
        server.start()
        await all_told(True, False, True)
        await until_it_answers(two)
        await order("second")
        assert sorted(applied[2:]) == [(1, "second"), (2, "second")]
        for reconciler in reconcilers:
            await reconciler.close()


# Redis alone


async def test_a_redis_that_keeps_nothing_is_noticed(
    make_redis: Callable[..., RedisServer],
) -> None:
    server = make_redis()
    server.start()
    async with opened(server.url) as store:
        await store.change(Wish("a", 1))
        server.kill()
        server.start()
        while (fault := await fault_of(store.desired())) is StoreFault.UNAVAILABLE:
            continue  # by the connection to the old one
        assert fault is StoreFault.REFUSED
        assert await fault_of(store.desired(), "was emptied or replaced") is StoreFault.REFUSED


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-lru", "volatile-ttl"])
async def test_a_redis_that_evicts_is_refused(
    make_redis: Callable[..., RedisServer], policy: str
) -> None:
    server = make_redis("--maxmemory", "100mb", "--maxmemory-policy", policy)
    server.start()
    async with opened(server.url) as store:
        assert await fault_of(store.desired(), policy) is StoreFault.REFUSED
        async with Redis.from_url(server.url) as admin:
            await admin.config_set("maxmemory-policy", "noeviction")
        assert await store.desired() == []


async def test_a_redis_that_never_lacks_room_may_have_any_policy(
    make_redis: Callable[..., RedisServer],
) -> None:
    server = make_redis("--maxmemory", "0", "--maxmemory-policy", "volatile-lru")
    server.start()
    async with opened(server.url) as store:
        assert await store.desired() == []


async def test_a_full_redis(make_redis: Callable[..., RedisServer]) -> None:
    server = make_redis("--maxmemory-policy", "noeviction")
    server.start()
    async with opened(server.url) as store, Redis.from_url(server.url) as admin:
        await store.change(Wish("a", 1))
        await admin.config_set("maxmemory", 1)
        assert await fault_of(store.change(Wish("a", 2))) is StoreFault.FULL
        assert await store.version() >= 1  # reading that needs no script goes on
        await admin.config_set("maxmemory", 0)
        assert await store.change(Wish("a", 2)) == 2


async def test_a_redis_with_a_password(make_redis: Callable[..., RedisServer]) -> None:
    server = make_redis("--requirepass", "right-one")
    server.start()
    place = f"127.0.0.1:{server.port}/0"
    for url in (f"redis://{place}", f"redis://:wrong-one@{place}"):
        async with opened(url) as store:
            with pytest.raises(StoreError) as refusal:
                await store.desired()
            assert "wrong-one" not in refusal.value.message
    async with opened(f"redis://:right-one@{place}") as store:
        assert await store.desired() == []


# PostgreSQL alone


async def test_postgres_that_is_restarted_ends_nothing(postgres: PostgresServer) -> None:
    await empty(postgres)
    async with opened(postgres.url) as store:
        await store.change(Wish("a", 1))
        postgres.stop()
        assert await fault_of(store.version()) is StoreFault.UNAVAILABLE
        postgres.start()
        await until_it_answers(store)
        assert await store.change(Wish("a", 2), expected=1) == 2


async def test_a_writer_that_stops_in_the_middle_holds_nobody_up(postgres: PostgresServer) -> None:
    await empty(postgres)
    async with opened(postgres.url) as store:
        await store.change(Wish("a", 1))
        stopped = await asyncpg.connect(postgres.url)
        await stopped.execute("BEGIN; SELECT 1 FROM penstock.state FOR UPDATE")
        assert await fault_of(store.change(Wish("a", 2))) is StoreFault.TIMEOUT
        assert [one.value for one in await store.desired()] == [1]  # readers do not wait
        await stopped.close()
        assert await store.change(Wish("a", 2), expected=1) == 2


async def test_postgres_that_may_only_be_read(postgres: PostgresServer) -> None:
    await empty(postgres)
    async with opened(postgres.url) as store:
        await store.change(Wish("a", 1))
    reset = "ALTER ROLE penstock RESET default_transaction_read_only"
    await on_postgres(postgres, "ALTER ROLE penstock SET default_transaction_read_only = on")
    try:
        async with opened(postgres.url) as store:
            assert [one.value for one in await store.desired()] == [1]
            refused = fault_of(store.change(Wish("a", 2)), "read-only")
            assert await refused is StoreFault.REFUSED
            await on_postgres(postgres, reset)
            assert await store.change(Wish("a", 2)) == 2  # by a new connection
    finally:
        await on_postgres(postgres, reset)


async def test_postgres_with_a_password_and_few_rights(postgres: PostgresServer) -> None:
    """The tables may be there already, made by somebody who is allowed to."""
    await empty(postgres)
    await on_postgres(postgres, "DROP ROLE IF EXISTS told")
    await on_postgres(postgres, "CREATE ROLE told LOGIN PASSWORD 'right-one'")
    place = f"127.0.0.1:{postgres.port}/postgres"
    async with opened(f"postgresql://told:wrong-one@{place}") as store:
        with pytest.raises(StoreError, match="refuses the login") as refusal:
            await store.desired()
        assert "wrong-one" not in refusal.value.message
    async with opened(f"postgresql://told:right-one@{place}") as store:
        assert await fault_of(store.desired(), "permission denied") is StoreFault.REFUSED
    async with opened(postgres.url) as maker:
        await maker.change(Wish("a", 1))
    rights = "GRANT USAGE ON SCHEMA penstock TO told; GRANT ALL ON ALL TABLES IN SCHEMA penstock"
    await on_postgres(postgres, f"{rights} TO told")
    async with opened(f"postgresql://told:right-one@{place}") as store:
        assert await store.change(Wish("a", 2), expected=1) == 2
    await empty(postgres)


async def test_postgres_by_its_socket_in_another_schema(postgres: PostgresServer) -> None:
    await empty(postgres)
    await on_postgres(postgres, "DROP SCHEMA IF EXISTS staging CASCADE")
    tail = f"postgres?host={postgres.folder}&schema=staging"
    async with (
        opened(f"postgresql://penstock@:{postgres.port}/{tail}") as staging,
        opened(postgres.url) as store,
    ):
        await staging.change(Wish("a", "staging"))
        assert await store.desired() == []
        assert [one.value for one in await staging.desired()] == ["staging"]


async def test_nul_characters_in_what_people_write(postgres: PostgresServer) -> None:
    await empty(postgres)
    async with opened(postgres.url) as store:
        await store.change(Wish("a", {"x": "\0"}, "who\0", "why\0"))
        (change,) = await store.history()
        assert (change.value, change.who, change.why) == ({"x": "\0"}, "who\ufffd", "why\ufffd")
