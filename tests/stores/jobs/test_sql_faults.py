"""Databases that go away, come back, or refuse, in the middle of a job."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pytest

from penstock.core.errors import JobInputError, JobOutputError
from penstock.jobs.batch.databases.sql_url import parse_sql_url
from penstock.jobs.batch.sink import Receipt
from penstock.jobs.batch.sinks.open_tables import open_table_sink
from penstock.jobs.batch.spec_tables import SqlOutput
from tests.stores.jobs.mariadb_server import MariaDbServer
from tests.stores.jobs.places import MANY, SPLIT, Place, empty_mariadb, empty_postgres, put, rows_of
from tests.stores.postgres_server import PostgresServer

pytestmark = pytest.mark.fault

BATCH = pa.RecordBatch.from_pylist([{"id": i, "label": "x" * 50} for i in range(1000)])


class Breakable(NamedTuple):
    """A server that a test may kill.

    Attributes:
        place: its database.
        kill: ends it at once.
        start: starts it again.
        pause: stops it in its tracks, its connections open.
        resume: lets it go on.
        told: the same database for a user with a password, who may do what the others give.
        change_password: the statement that takes that user's password away.
        shut_out: statements that take all from that user.
    """

    place: Place
    kill: Callable[[], None]
    start: Callable[[], None]
    pause: Callable[[], None]
    resume: Callable[[], None]
    told: str
    change_password: str
    shut_out: tuple[str, ...]


@pytest.fixture(params=["postgres", "mariadb"])
def server(request: pytest.FixtureRequest) -> Iterator[Breakable]:
    if request.param == "postgres":
        yield _postgres(request.getfixturevalue("postgres"))
        return
    mariadb: MariaDbServer = request.getfixturevalue("mariadb_to_break")
    mariadb.start()
    try:
        yield _mariadb(mariadb)
    finally:
        mariadb.kill()


def _postgres(server: PostgresServer) -> Breakable:
    place = empty_postgres(server)
    with suppress(Exception):
        place.run("DROP OWNED BY jobs_user", "DROP ROLE jobs_user")
    place.run(
        "CREATE ROLE jobs_user LOGIN PASSWORD 's3cr3t/word'",
        "GRANT ALL ON SCHEMA jobs TO jobs_user",
        "GRANT TEMPORARY ON DATABASE postgres TO jobs_user",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA jobs GRANT ALL ON TABLES TO jobs_user",
    )
    return Breakable(
        place,
        server.kill,
        server.start,
        server.pause,
        server.resume,
        place.url.replace("penstock@", "jobs_user:s3cr3t%2Fword@"),
        "ALTER ROLE jobs_user PASSWORD 'another'",
        ("REVOKE ALL ON ALL TABLES IN SCHEMA jobs FROM jobs_user",),
    )


def _mariadb(server: MariaDbServer) -> Breakable:
    place = empty_mariadb(server)
    server.run("CREATE OR REPLACE USER jobs_user IDENTIFIED BY 's3cr3t/word'")
    server.run("GRANT ALL ON jobs.* TO jobs_user")
    return Breakable(
        place,
        server.kill,
        server.start,
        server.pause,
        server.resume,
        place.url.replace("penstock:", "jobs_user:"),
        "SET PASSWORD FOR jobs_user = PASSWORD('another')",
        ("REVOKE ALL ON jobs.* FROM jobs_user",),
    )


def big(place: Place) -> None:
    """A table that does not fit into what is under way between the server and a reader."""
    text = "LONGTEXT" if place.kind == "mariadb" else "TEXT"
    place.run(f"CREATE TABLE input (id BIGINT PRIMARY KEY, body {text})")
    body = "repeat('x', 100000)"
    for start in range(0, 400, 100):
        values = ", ".join(f"({i}, {body})" for i in range(start, start + 100))
        place.run(f"INSERT INTO input VALUES {values}")


def test_a_server_that_dies_in_mid_split_is_worth_another_try(server: Breakable) -> None:
    big(server.place)
    source = server.place.source(1000, table="input")
    (split,) = source.plan()
    reading = source.read(split, 10, MANY)
    next(iter(reading))

    server.kill()
    with pytest.raises(JobInputError) as caught:
        list(reading)
    assert caught.value.retryable
    with pytest.raises(JobInputError) as caught:
        list(source.read(split, 10, MANY))
    assert caught.value.retryable

    server.start()
    pieces = source.read(split, 10, MANY)
    assert [row["id"] for piece in pieces for row in piece.batch.to_pylist()] == list(range(400))


def test_a_server_that_dies_before_a_commit_keeps_nothing(server: Breakable) -> None:
    sink = open_table_sink(SqlOutput(url=server.place.url, table="output", key=("id",)))
    sink.begin()
    writer = sink.open(SPLIT, BATCH.schema)
    writer.write(BATCH)

    server.kill()
    with pytest.raises(JobOutputError) as caught:
        writer.commit()
    assert caught.value.retryable
    writer.abort()
    with pytest.raises(JobOutputError) as caught:
        sink.open(SPLIT, BATCH.schema)
    assert caught.value.retryable

    server.start()
    assert not sink.holds(SPLIT, Receipt(1000))
    assert put(sink, SPLIT, BATCH) == Receipt(1000)
    assert sink.holds(SPLIT, Receipt(1000))
    sink.close()
    assert server.place.run("SELECT count(*) FROM output") == [(1000,)]


def test_a_connection_that_is_cut_while_it_writes(server: Breakable) -> None:
    sink = open_table_sink(SqlOutput(url=server.place.url, table="output", key=("id",)))
    writer = sink.open(SPLIT, BATCH.schema)
    writer.write(BATCH)
    server.kill()
    server.start()

    with pytest.raises(JobOutputError) as caught:
        writer.write(BATCH)
    assert caught.value.retryable
    writer.abort()
    sink.close()


@pytest.fixture
def impatient(server: Breakable, monkeypatch: pytest.MonkeyPatch) -> Breakable:
    """A server that is given up soon."""
    for module, name, seconds in (
        ("postgres", "ANSWER_TIMEOUT_S", 1.0),
        ("postgres", "_TIMEOUT_S", 2),
        ("mysql", "ANSWER_TIMEOUT_S", 1.0),
        ("mysql", "_CONNECT_TIMEOUT_S", 2),
    ):
        monkeypatch.setattr(f"penstock.jobs.batch.databases.{module}.{name}", seconds)
    return server


def test_a_server_that_stands_still_in_mid_split_is_given_up(impatient: Breakable) -> None:
    big(impatient.place)
    source = impatient.place.source(1000, table="input")
    (split,) = source.plan()
    reading = source.read(split, 10, MANY)
    next(iter(reading))

    impatient.pause()
    try:
        with pytest.raises(JobInputError, match=r"said nothing for 1 s|timed out") as caught:
            list(reading)
        assert caught.value.retryable
        with pytest.raises(JobInputError) as caught:
            list(source.read(split, 10, MANY))
        assert caught.value.retryable
    finally:
        impatient.resume()

    pieces = source.read(split, 10, MANY)
    assert [row["id"] for piece in pieces for row in piece.batch.to_pylist()] == list(range(400))


def test_a_server_that_stands_still_at_a_commit_is_given_up(impatient: Breakable) -> None:
    url = impatient.place.url
    sink = open_table_sink(SqlOutput(url=url, table="output", key=("id",)))
    sink.begin()
    writer = sink.open(SPLIT, BATCH.schema)
    writer.write(BATCH)

    impatient.pause()
    try:
        with pytest.raises(JobOutputError, match=r"said nothing for 1 s|timed out") as caught:
            writer.commit()
        assert caught.value.retryable
        writer.abort()
        with pytest.raises(JobOutputError) as caught:
            sink.holds(SPLIT, Receipt(1000))
        assert caught.value.retryable
    finally:
        impatient.resume()

    assert put(sink, SPLIT, BATCH) == Receipt(1000)
    assert sink.holds(SPLIT, Receipt(1000))
    sink.close()
    assert impatient.place.run("SELECT count(*) FROM output") == [(1000,)]


def test_a_password_that_changes_in_mid_job(server: Breakable) -> None:
    server.place.numbers(range(20))
    place = Place(server.place.kind, server.told)
    source = place.source(table="input")
    sink = open_table_sink(SqlOutput(url=server.told, table="output", key=("id",)))
    first, second = source.plan()
    list(source.read(first, MANY, MANY))
    put(sink, SPLIT, BATCH)

    server.place.run(server.change_password)

    with pytest.raises(JobInputError, match="refuses the login") as read:
        list(source.read(second, MANY, MANY))
    with pytest.raises(JobOutputError, match="refuses the login") as written:
        sink.open(SPLIT, BATCH.schema)
    for caught in (read.value, written.value):
        assert not caught.retryable
        assert "s3cr3t" not in str(caught)
    sink.close()


def test_rights_that_are_revoked_in_mid_job(server: Breakable) -> None:
    server.place.numbers(range(20))
    place = Place(server.place.kind, server.told)
    source = place.source(table="input")
    sink = open_table_sink(SqlOutput(url=server.told, table="output", key=("id",)))
    _, second = source.plan()
    put(sink, SPLIT, BATCH)
    if server.place.kind == "postgres":  # what one has made is one's own: give it away
        server.place.run("ALTER TABLE output OWNER TO penstock")
        server.place.run("ALTER TABLE penstock_parts OWNER TO penstock")

    server.place.run(*server.shut_out)

    with pytest.raises(JobInputError, match="denied") as read:
        list(source.read(second, MANY, MANY))
    assert not read.value.retryable
    with pytest.raises(JobOutputError, match="denied") as written:
        put(sink, SPLIT, BATCH)
    assert not written.value.retryable
    assert "s3cr3t" not in str(written.value)
    sink.close()


def test_an_input_table_that_is_dropped_in_mid_job(server_place: Place) -> None:
    server_place.numbers(range(20))
    source = server_place.source(table="input")
    _, second = source.plan()
    server_place.run("DROP TABLE input")

    with pytest.raises(JobInputError, match="input") as caught:
        list(source.read(second, MANY, MANY))
    assert not caught.value.retryable


def test_an_input_table_that_becomes_another_one(server_place: Place) -> None:
    server_place.numbers(range(20))
    _, second = server_place.source(table="input").plan()
    server_place.run("ALTER TABLE input ADD more INTEGER")

    with pytest.raises(JobInputError, match="not what was planned: its columns"):
        list(server_place.source(table="input").read(second, MANY, MANY))


def test_an_output_table_that_is_dropped_in_mid_split(place: Place) -> None:
    sink = open_table_sink(SqlOutput(url=place.url, table="output", key=("id",)))
    writer = sink.open(SPLIT, BATCH.schema)
    writer.write(BATCH)
    place.run("DROP TABLE output")

    with pytest.raises(JobOutputError, match="output") as caught:
        writer.commit()
    assert not caught.value.retryable
    assert not sink.holds(SPLIT, Receipt(1000))
    sink.close()


def test_a_row_that_the_database_cannot_compute_is_not_asked_for_again(
    shared_postgres: PostgresServer,
) -> None:
    place = empty_postgres(shared_postgres)
    place.numbers(range(1, 20_001))
    query = "SELECT id, body, 1 / (19999 - id) AS x FROM input"
    source = place.source(MANY, query=query)
    (split,) = source.plan()

    with pytest.raises(JobInputError, match="division by zero") as caught:
        list(source.read(split, 10, MANY))
    assert not caught.value.retryable


@pytest.mark.parametrize("wrong", ["u:s3cr3t%zz@127.0.0.1:1/db", "u:s3cr3t@127.0.0.1:1/db?nope=1"])
def test_an_address_that_the_driver_cannot_read(wrong: str) -> None:
    with pytest.raises(JobInputError, match="invalid") as caught:
        Place("postgres", f"postgresql://{wrong}").source(table="input").schema()
    assert not caught.value.retryable
    assert "s3cr3t" not in str(caught.value)


def test_nobody_listens(server: Breakable) -> None:
    server.kill()
    with pytest.raises(JobInputError) as caught:
        rows_of(server.place.source(table="input"))
    assert caught.value.retryable


def test_a_file_that_is_not_there() -> None:
    for scheme in ("sqlite", "duckdb"):
        place = Place(scheme, f"{scheme}:////nowhere/at/all.db")
        with pytest.raises(JobInputError, match=r"input: .*nowhere") as caught:
            rows_of(place.source(table="input"))
        assert not caught.value.retryable


def test_a_duckdb_file_is_either_read_or_written(tmp_path: Path) -> None:
    place = Place("duckdb", f"duckdb:///{tmp_path}/a.duckdb")
    place.numbers(range(3))
    source = place.source(table="input")
    assert len(list(source.plan())) == 1
    sink = open_table_sink(SqlOutput(url=place.url, table="output", key=("id",)))

    with pytest.raises(JobOutputError, match="two files"):
        sink.begin()
    source.close()
    sink.begin()
    sink.close()


def test_a_file_of_something_else(tmp_path: Path) -> None:
    for scheme in ("sqlite", "duckdb"):
        path = tmp_path / f"{scheme}.db"
        path.write_text("not a database" * 1000)
        with pytest.raises(JobInputError) as caught:
            rows_of(Place(scheme, f"{scheme}:///{path}").source(table="input"))
        assert not caught.value.retryable


def test_a_sqlite_file_that_another_one_writes_is_worth_another_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.jobs.batch.databases.sqlite._WAIT_S", 0.05)
    place = Place("sqlite", f"sqlite:///{tmp_path}/a.db")
    sink = open_table_sink(SqlOutput(url=place.url, table="output", key=("id",)))
    put(sink, SPLIT, BATCH)
    other = sqlite3.connect(parse_sql_url(place.url).database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JobOutputError, match="locked") as caught:
        put(sink, SPLIT, BATCH)
    assert caught.value.retryable
    other.execute("ROLLBACK")
    other.close()
    assert put(sink, SPLIT, BATCH) == Receipt(1000)
    sink.close()
