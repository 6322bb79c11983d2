"""Every control store keeps the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from penstock.stores import (
    control_statements,
    postgres_control_statements,
    redis_control_scripts,
)
from penstock.stores.control_store import ControlStore
from penstock.stores.open_control_store import control_file_url, open_control_store
from penstock.testing.fake_clock import FakeClock
from penstock.testing.fake_control_store import FakeControlStore
from tests.stores.postgres_server import PostgresServer
from tests.stores.redis_server import RedisServer

from .control_store_contract import ForgettingControlStoreContract, TimedControlStoreContract


@asynccontextmanager
async def closing(store: ControlStore) -> AsyncIterator[ControlStore]:
    """The store, closed at the end."""
    try:
        yield store
    finally:
        await store.close()


class TestFake(ForgettingControlStoreContract):
    """The shipped double."""

    @pytest.fixture
    def store(self) -> ControlStore:
        self.clock = FakeClock()
        return FakeControlStore(self.clock)

    @pytest.fixture
    def other(self, store: ControlStore) -> ControlStore:
        return store

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)


class TestSqlite(TimedControlStoreContract):
    statements = control_statements

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        self.clock = FakeClock()
        return control_file_url(tmp_path / "a file?.db")

    @pytest.fixture
    async def store(self, url: str) -> AsyncIterator[ControlStore]:
        async with closing(open_control_store(url, is_new=True, clock=self.clock)) as store:
            await store.desired()
            yield store

    @pytest.fixture
    async def other(self, url: str, store: ControlStore) -> AsyncIterator[ControlStore]:
        async with closing(open_control_store(url, clock=self.clock)) as other:
            yield other

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)


class TestRedis(TimedControlStoreContract):
    statements = redis_control_scripts

    @pytest.fixture
    async def store(self, shared_redis: RedisServer) -> AsyncIterator[ControlStore]:
        async with Redis(port=shared_redis.port) as self.server:
            await self.server.flushall()
            async with closing(open_control_store(shared_redis.url, is_new=True)) as store:
                yield store

    @pytest.fixture
    async def other(
        self, shared_redis: RedisServer, store: ControlStore
    ) -> AsyncIterator[ControlStore]:
        await store.desired()
        async with closing(open_control_store(shared_redis.url)) as other:
            yield other

    async def pass_time(self, seconds: float) -> None:
        async for key in self.server.scan_iter("penstock:{control}:*"):
            if key.endswith(b":seen") or b":told:" in key:
                for member, at_ms in await self.server.zrange(key, 0, -1, withscores=True):
                    await self.server.zadd(key, {member: at_ms - seconds * 1000})
            if key.endswith(b":leases"):
                for lease, row in (await self.server.hgetall(key)).items():
                    at_ms, rest = row.split(b" ", 1)
                    older = b"%d %s" % (int(at_ms) - seconds * 1000, rest)
                    await self.server.hset(key, lease, older)
            if (left_ms := await self.server.pttl(key)) > 0:
                await self.server.pexpire(key, left_ms - int(seconds * 1000))

    async def test_a_value_that_the_server_gave_up_is_not_told(self, store: ControlStore) -> None:
        for process in ("one", "two"):
            await store.publish(process, "counts/m", b"x")
        await self.server.hdel("penstock:{control}:published:counts/m", "one")
        assert await store.published("counts/m") == {"two": b"x"}
        await self.server.delete("penstock:{control}:published:counts/m")
        assert await store.published("counts/m") == {}


class TestPostgres(TimedControlStoreContract):
    statements = postgres_control_statements

    @pytest.fixture
    async def store(self, shared_postgres: PostgresServer) -> AsyncIterator[ControlStore]:
        self.server = await asyncpg.connect(shared_postgres.url)
        await self.server.execute("DROP SCHEMA IF EXISTS penstock CASCADE")
        async with closing(open_control_store(shared_postgres.url, is_new=True)) as store:
            yield store
        await self.server.close()

    @pytest.fixture
    async def other(
        self, shared_postgres: PostgresServer, store: ControlStore
    ) -> AsyncIterator[ControlStore]:
        await store.desired()
        async with closing(open_control_store(shared_postgres.url)) as other:
            yield other

    async def pass_time(self, seconds: float) -> None:
        for table, column in (
            ("processes", "seen_ms"),
            ("published", "told_ms"),
            ("leases", "taken_ms"),
        ):
            older = f"{column} = {column} - {int(seconds * 1000)}"
            await self.server.execute(f"UPDATE penstock.{table} SET {older}")
