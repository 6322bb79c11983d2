"""Fixtures: a database of each kind, empty, for tests of jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stores.jobs.mariadb_server import MariaDbServer
from tests.stores.jobs.places import Place, empty_mariadb, empty_postgres
from tests.stores.postgres_server import PostgresServer

KINDS = ("postgres", "mariadb", "sqlite", "duckdb")


@pytest.fixture(scope="session")
def shared_mariadb() -> Iterator[MariaDbServer]:
    server = MariaDbServer()
    try:
        server.make()
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def mariadb_to_break() -> Iterator[MariaDbServer]:
    server = MariaDbServer()
    try:
        server.make()
        yield server
    finally:
        server.remove()


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A database of each kind in turn."""
    return _place(request, request.param, tmp_path)


@pytest.fixture(params=("postgres", "mariadb"))
def server_place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A database of each server in turn."""
    return _place(request, request.param, tmp_path)


def _place(request: pytest.FixtureRequest, kind: str, folder: Path) -> Place:
    if kind == "postgres":
        postgres: PostgresServer = request.getfixturevalue("shared_postgres")
        return empty_postgres(postgres)
    if kind == "mariadb":
        mariadb: MariaDbServer = request.getfixturevalue("shared_mariadb")
        return empty_mariadb(mariadb)
    return Place(kind, f"{kind}:///{folder}/jobs.{kind}")
