"""DuckDatabase: a file of DuckDB, read and written by jobs, in Arrow from end to end."""

from __future__ import annotations

import re
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from pyarrow import types

from penstock.core.errors import JobFailed
from penstock.jobs.batch.databases import sql_text, storage
from penstock.jobs.batch.databases.database import STAGE
from penstock.jobs.batch.databases.sql_url import SqlUrl
from penstock.jobs.batch.databases.standard_sql import TypedSql
from penstock.jobs.batch.source import ReadRows

_BATCH_ROWS = 16_384
_COMING = "penstock_coming"
_SETTINGS = (
    "SET TimeZone = 'UTC'",
    "SET python_enable_replacements = false",  # a table is no variable of ours
)
_PASSING = (
    duckdb.TransactionException,
    duckdb.SerializationException,
    duckdb.OutOfMemoryException,
    duckdb.InterruptException,
)
_BUSY = re.compile(r"\block\b|No space left")
"""What passes of a file: another process has it, or the disk is full."""

_HINT = (
    "; one process can write a file, of which nothing is read then: use 'engine: local', two files"
)

_SQL_TYPES = {
    pa.bool_(): "BOOLEAN",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float32(): "REAL",
    pa.float64(): "DOUBLE",
    pa.string(): "VARCHAR",
    pa.binary(): "BLOB",
    pa.date32(): "DATE",
    pa.time64("us"): "TIME",
    pa.timestamp("us"): "TIMESTAMP",
    pa.timestamp("us", "UTC"): "TIMESTAMPTZ",
}


class DuckDatabase(TypedSql):
    """A ``Database`` in one file, which one process may write, or several read.

    Sessions are cursors of one connection; it is opened with the first of them.
    """

    sql_types = _SQL_TYPES
    decimal = "DECIMAL"

    def __init__(self, url: SqlUrl) -> None:
        self._path = url.database
        self.name = str(url)
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._db: duckdb.DuckDBPyConnection | None = None

    def connect(self, *, read_only: bool) -> DuckSession:
        """See ``Database.connect``. A file that is read has to be there."""
        with translated(self.name), self._lock:
            if self._db is None:
                if read_only and not Path(self._path).exists():
                    raise JobFailed(f"{self.name}: there is no such file")
                self._db = duckdb.connect(self._path, read_only=read_only)
                for setting in _SETTINGS:
                    self._db.execute(setting)
            return DuckSession(self._db.cursor(), self.name, self._turn)

    def storable(self, kind: pa.DataType) -> pa.DataType:
        """See ``Database.storable``."""
        kept = storage.storable(kind, lists=True)
        return pa.string() if types.is_decimal256(kept) else kept

    def close(self) -> None:
        """See ``Database.close``."""
        with self._lock:
            db, self._db = self._db, None
            if db is not None:
                db.close()


class DuckSession:
    """A ``Session`` of DuckDB."""

    def __init__(self, db: duckdb.DuckDBPyConnection, name: str, turn: threading.Lock) -> None:
        self._db = db
        self._name = name
        self._turn = turn
        self._has_stage = False

    def select(self, sql: str) -> list[tuple[Any, ...]]:
        """See ``Session.select``."""
        with translated(self._name):
            rows: list[tuple[Any, ...]] = self._db.execute(sql).fetchall()
            return rows

    def execute(self, sql: str) -> None:
        """See ``Session.execute``."""
        with translated(self._name):
            self._db.execute(sql)

    def schema(self, sql: str) -> pa.Schema:
        """See ``Session.schema``."""
        with translated(self._name):
            told = self._db.sql(sql + "\nLIMIT 0").to_arrow_reader(1).schema
        kinds = [field.type if _is_plain(field.type) else pa.string() for field in told]
        return pa.schema(zip(told.names, kinds, strict=True))

    def stream(self, sql: str, schema: pa.Schema) -> Generator[ReadRows, None, None]:
        """See ``Session.stream``."""
        first = 0
        with translated(self._name):
            for batch in self._db.sql(sql).to_arrow_reader(_BATCH_ROWS):
                columns = pa.RecordBatch.from_arrays(batch.columns, schema=schema)
                yield ReadRows(first, columns)
                first += batch.num_rows

    def table_columns(self, table: str) -> dict[str, str] | None:
        """See ``Session.table_columns``."""
        *schema, name = sql_text.table_parts(table)
        where = sql_text.literal(schema[0]) if schema else "current_schema()"
        rows = self.select(
            "SELECT column_name, data_type FROM information_schema.columns "  # noqa: S608
            f"WHERE table_name = {sql_text.literal(name)} AND table_schema = {where}"
        )
        return dict(rows) or None

    def check_unique(self, table: str, keys: Sequence[str]) -> None:
        """See ``Session.check_unique``."""
        self.select(sql_text.trial_on_conflict(table, tuple(keys)))

    def stage(self, batch: pa.RecordBatch) -> None:
        """See ``Session.stage``."""
        with translated(self._name):
            self._db.register(_COMING, pa.Table.from_batches([batch]))
            verb = f"INSERT INTO {STAGE}" if self._has_stage else f"CREATE TEMP TABLE {STAGE} AS"
            self._db.execute(f"{verb} SELECT * FROM {_COMING}")  # noqa: S608 - constants
            self._db.unregister(_COMING)
            self._has_stage = True

    def publish(self, statements: Sequence[str]) -> None:
        """See ``Session.publish``. One at a time: two that touch a row would fail each other."""
        with translated(self._name), self._turn:
            self._db.execute("BEGIN")
            is_done = False
            try:
                for statement in statements:
                    self._db.execute(statement)
                self._db.execute("COMMIT")
                is_done = True
            finally:
                if not is_done:
                    self._db.execute("ROLLBACK")

    def close(self) -> None:
        """See ``Session.close``."""
        self._db.close()


def _is_plain(kind: pa.DataType) -> bool:
    """Whether a column of this type is read as what it is; others are read as text."""
    if types.is_list(kind) or types.is_fixed_size_list(kind):
        return _is_plain(kind.value_type)
    is_number = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal128(kind)
    return is_number or types.is_timestamp(kind) or kind in _SQL_TYPES


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Turn DuckDB's errors into ours."""
    try:
        yield
    except (duckdb.Error, pa.ArrowException) as err:
        text = (str(err).splitlines() or [type(err).__name__])[0][:300]
        is_busy = isinstance(err, duckdb.IOException) and _BUSY.search(text) is not None
        passes = is_busy or isinstance(err, _PASSING)
        hint = _HINT if is_busy or isinstance(err, duckdb.ConnectionException) else ""
        raise JobFailed(f"{name}: {text}{hint}", retryable=passes) from err
