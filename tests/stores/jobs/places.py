"""Databases of each kind for jobs to read and write, and what tests do with them."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from penstock.jobs.batch.databases.open_database import open_database
from penstock.jobs.batch.databases.sql_url import parse_sql_url
from penstock.jobs.batch.sink import BatchSink, Receipt
from penstock.jobs.batch.source import BatchSource
from penstock.jobs.batch.sources.open_tables import open_table_source
from penstock.jobs.batch.spec_tables import SqlInput
from tests.stores.jobs.mariadb_server import MariaDbServer
from tests.stores.postgres_server import PostgresServer

SPLIT = "0123456789abcdef01234567"
OTHER = "76543210fedcba9876543210"
MANY = 1 << 20


class Place(NamedTuple):
    """A database that is a test's own.

    Attributes:
        kind: ``postgres``, ``mariadb``, ``sqlite`` or ``duckdb``.
        url: its address.
    """

    kind: str
    url: str

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        """Do something as somebody else would; the rows of the last statement."""
        *before, last = statements
        with (
            closing(open_database(parse_sql_url(self.url))) as database,
            closing(database.connect(read_only=False)) as session,
        ):
            for statement in before:
                session.execute(statement)
            if last.lstrip().upper().startswith("SELECT"):
                return session.select(last)
            session.execute(last)
            return []

    def source(self, split_rows: int = 10, state: Path | None = None, **fields: Any) -> BatchSource:
        """A source of this database; ``key`` is id, and ``state`` another one each time."""
        spec = SqlInput(**{"url": self.url, "key": "id", **fields})
        if state is not None:
            return open_table_source(spec, split_rows, state)
        folder = Path(tempfile.mkdtemp(prefix="penstock-job-"))
        source = open_table_source(spec, split_rows, folder)
        weakref.finalize(source, shutil.rmtree, folder, ignore_errors=True)
        return source

    def numbers(self, ids: Iterable[int], table: str = "input") -> None:
        """Make a table of numbers, their text and their halves."""
        values = ", ".join(f"({i}, 'text {i}', {i / 2})" for i in ids)
        text = "VARCHAR(100)" if self.kind == "mariadb" else "TEXT"
        self.run(
            f"CREATE TABLE {table} (id BIGINT PRIMARY KEY, body {text}, half DOUBLE PRECISION)",
            f"INSERT INTO {table} VALUES {values}",
        )


def rows_of(source: BatchSource, max_rows: int = 7) -> list[list[dict[str, Any]]]:
    """The rows of each split."""
    return [
        [row for piece in source.read(split, max_rows, MANY) for row in piece.batch.to_pylist()]
        for split in source.plan()
    ]


def put(sink: BatchSink, split_id: str, rows: Sequence[dict[str, Any]] | pa.RecordBatch) -> Receipt:
    """Write a part, in two batches."""
    batch = rows if isinstance(rows, pa.RecordBatch) else pa.RecordBatch.from_pylist(list(rows))
    writer = sink.open(split_id, batch.schema)
    middle = batch.num_rows // 2
    try:
        writer.write(batch.slice(0, middle))
        writer.write(batch.slice(middle))
        return writer.commit()
    finally:
        writer.abort()  # as a job does; after a commit it changes nothing


def empty_postgres(server: PostgresServer) -> Place:
    """A schema with nothing in it, where unqualified names go."""
    Place("postgres", server.url).run("DROP SCHEMA IF EXISTS jobs CASCADE", "CREATE SCHEMA jobs")
    return Place("postgres", f"{server.url}?options=-csearch_path%3Djobs")


def empty_mariadb(server: MariaDbServer) -> Place:
    """A database with nothing in it."""
    server.run("DROP DATABASE IF EXISTS jobs")
    server.run("CREATE DATABASE jobs CHARACTER SET utf8mb4")
    return Place("mariadb", server.url)
