"""Every backend keeps the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from penstock.stores.backend import Backend
from penstock.stores.memory_backend import MemoryBackend
from penstock.stores.open_backend import open_backend
from penstock.stores.sqlite_backend import SqliteBackend
from penstock.testing.fake_clock import FakeClock
from penstock.testing.faulty_backend import FaultyBackend
from tests.stores.backend_contract import BackendContract
from tests.stores.redis_server import RedisServer


class TestMemory(BackendContract):
    @pytest.fixture
    def backend(self) -> MemoryBackend:
        self.clock = FakeClock()
        return MemoryBackend(clock=self.clock)

    async def advance(self, backend: Backend, seconds: float) -> None:
        self.clock.advance(seconds)


class TestFaulty(TestMemory):
    """The shipped double, told nothing."""

    @pytest.fixture
    def backend(self) -> FaultyBackend:  # type: ignore[override]
        self.clock = FakeClock()
        return FaultyBackend(MemoryBackend(clock=self.clock))


class TestSqlite(BackendContract):
    @pytest.fixture
    async def backend(self, tmp_path: Path) -> AsyncIterator[Backend]:
        self.clock = FakeClock()
        backend = SqliteBackend(str(tmp_path / "store.db"), clock=self.clock)
        yield backend
        await backend.close()

    async def advance(self, backend: Backend, seconds: float) -> None:
        self.clock.advance(seconds)


class TestRedis(BackendContract):
    @pytest.fixture
    async def backend(self, shared_redis: RedisServer) -> AsyncIterator[Backend]:
        self.server = Redis(port=shared_redis.port)
        await self.server.flushall()
        backend = open_backend(shared_redis.url)
        yield backend
        await backend.close()
        await self.server.aclose()

    async def advance(self, backend: Backend, seconds: float) -> None:
        """Time passes as far as expiry can tell."""
        for key in await self.server.keys():
            left_ms = await self.server.pttl(key)
            if left_ms >= 0:
                await self.server.pexpire(key, left_ms - int(seconds * 1000))
