"""Redis and PostgreSQL servers: for all tests that leave them alone, and some to break."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.stores.postgres_server import PostgresServer
from tests.stores.redis_server import RedisServer


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def make_redis(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """Makes servers that are not started yet; whatever runs at the end is ended."""
    servers: list[RedisServer] = []

    def make(*options: str) -> RedisServer:
        servers.append(RedisServer(tmp_path, *options))
        return servers[-1]

    yield make
    for server in servers:
        server.kill()


@pytest.fixture
def redis(make_redis: Callable[..., RedisServer]) -> RedisServer:
    server = make_redis()
    server.start()
    return server


@pytest.fixture(scope="session")
def shared_postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    try:
        server.make()
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def postgres_to_break() -> Iterator[PostgresServer]:
    server = PostgresServer()
    try:
        server.make()
        yield server
    finally:
        server.remove()


@pytest.fixture
def postgres(postgres_to_break: PostgresServer) -> Iterator[PostgresServer]:
    """Started, with whatever an earlier test has left in it; it may be killed and paused."""
    postgres_to_break.start()
    yield postgres_to_break
    postgres_to_break.kill()


@pytest.fixture
def fresh_postgres(postgres: PostgresServer) -> PostgresServer:
    """Without what an earlier test has left in it."""
    asyncio.run(_empty(postgres.url))
    return postgres


async def _empty(url: str) -> None:
    db = await asyncpg.connect(url)
    await db.execute("DROP SCHEMA IF EXISTS penstock CASCADE")
    await db.close()
