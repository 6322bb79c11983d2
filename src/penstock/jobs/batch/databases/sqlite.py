"""SqliteDatabase: a file of SQLite, read and written by jobs."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote as url_quote

import pyarrow as pa
from pyarrow import types

from penstock.core.errors import JobFailed
from penstock.jobs.batch.databases import sql_text
from penstock.jobs.batch.databases.database import STAGE
from penstock.jobs.batch.databases.row_columns import groups, to_columns
from penstock.jobs.batch.databases.sql_url import SqlUrl
from penstock.jobs.batch.databases.standard_sql import StandardSql
from penstock.jobs.batch.source import ReadRows

_WAIT_S = 30.0
_SAMPLE_ROWS = 1000
_PASSING = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL)


class SqliteDatabase(StandardSql):
    """A ``Database`` in one file.

    A column's type is what it is declared as: INT int64, REAL float64, CHAR and TEXT string, BLOB
    binary. Where that says nothing (dates, decimals, expressions), the first 1000 rows tell. A
    value of another type, which SQLite allows, is a misfit. Written are int64, float64, string
    and binary: dates, times and decimals are text.
    """

    def __init__(self, url: SqlUrl) -> None:
        self._path = url.database
        self.name = str(url)

    def connect(self, *, read_only: bool) -> SqliteSession:
        """See ``Database.connect``. A file that is read has to be there."""
        return SqliteSession(self._path, self.name, read_only=read_only)

    def chosen(self, column: str, kind: pa.DataType) -> str:
        """See ``Database.chosen``."""
        del kind
        return sql_text.quote(column)

    def key(self, column: str, kind: pa.DataType) -> str:
        """See ``Database.key``."""
        del kind
        return sql_text.quote(column)

    def storable(self, kind: pa.DataType) -> pa.DataType:
        """See ``Database.storable``."""
        if types.is_dictionary(kind):
            return self.storable(kind.value_type)
        if types.is_boolean(kind) or (types.is_integer(kind) and kind != pa.uint64()):
            return pa.int64()
        if types.is_floating(kind):
            return pa.float64()
        if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
            return pa.binary()
        return pa.string()

    def column_type(self, kind: pa.DataType, *, is_key: bool) -> str:
        """See ``Database.column_type``."""
        del is_key
        return _SQL_TYPES[kind]

    def close(self) -> None:
        """See ``Database.close``."""


_SQL_TYPES = {pa.int64(): "INTEGER", pa.float64(): "REAL", pa.string(): "TEXT", pa.binary(): "BLOB"}


class SqliteSession:
    """A ``Session`` of SQLite."""

    def __init__(self, path: str, name: str, *, read_only: bool) -> None:
        self._name = name
        self._has_stage = False
        mode = "ro" if read_only else "rwc"
        where = f"file:{url_quote(str(Path(path).absolute()))}?mode={mode}"
        with self._translated():
            self._db = sqlite3.connect(
                where, uri=True, timeout=_WAIT_S, isolation_level=None, check_same_thread=False
            )
            self._db.text_factory = _text

    def select(self, sql: str) -> list[tuple[Any, ...]]:
        """See ``Session.select``."""
        with self._translated():
            return self._db.execute(sql).fetchall()

    def execute(self, sql: str) -> None:
        """See ``Session.execute``."""
        with self._translated():
            self._db.execute(sql)

    def schema(self, sql: str) -> pa.Schema:
        """See ``Session.schema``."""
        with self._translated():
            self._db.execute(f"CREATE TEMPORARY VIEW penstock_columns AS {sql}")
            told = self._db.execute("PRAGMA table_info(penstock_columns)").fetchall()
            self._db.execute("DROP VIEW penstock_columns")
            with closing(self._db.execute(sql)) as cursor:
                sample = cursor.fetchmany(_SAMPLE_ROWS)
        columns = list(zip(*sample, strict=True)) or [()] * len(told)
        return pa.schema(
            (row[1], _declared(row[2]) or _seen(cells))
            for row, cells in zip(told, columns, strict=True)
        )

    def stream(self, sql: str, schema: pa.Schema) -> Generator[ReadRows, None, None]:
        """See ``Session.stream``."""
        first = 0
        with self._translated(), closing(self._db.execute(sql)) as cursor:
            for rows in groups(cursor.fetchmany):
                yield to_columns(rows, schema, first)
                first += len(rows)

    def table_columns(self, table: str) -> dict[str, str] | None:
        """See ``Session.table_columns``."""
        *schema, name = map(sql_text.quote, sql_text.table_parts(table))
        rows = self.select(f"PRAGMA {'.'.join([*schema, 'table_info'])}({name})")
        return {row[1]: "" for row in rows} or None

    def check_unique(self, table: str, keys: Sequence[str]) -> None:
        """See ``Session.check_unique``."""
        self.select(sql_text.trial_on_conflict(table, tuple(keys)))

    def stage(self, batch: pa.RecordBatch) -> None:
        """See ``Session.stage``."""
        with self._translated():
            if not self._has_stage:
                columns = ", ".join(
                    f"{sql_text.quote(field.name)} {_SQL_TYPES[field.type]}"
                    for field in batch.schema
                )
                self._db.execute(f"CREATE TEMPORARY TABLE {STAGE} ({columns})")
                self._has_stage = True
            marks = ", ".join("?" * batch.num_columns)
            rows = zip(*(column.to_pylist() for column in batch.columns), strict=True)
            self._db.execute("BEGIN")  # of the temporary file alone: nobody waits for it
            self._db.executemany(f"INSERT INTO {STAGE} VALUES ({marks})", rows)  # noqa: S608
            self._db.execute("COMMIT")

    def publish(self, statements: Sequence[str]) -> None:
        """See ``Session.publish``."""
        with self._translated():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                for statement in statements:
                    self._db.execute(statement)
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    def close(self) -> None:
        """See ``Session.close``."""
        self._db.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, sqlite3.Warning, OverflowError, UnicodeError) as err:
            code = getattr(err, "sqlite_errorcode", 0) & 0xFF
            text = (str(err).splitlines() or [type(err).__name__])[0][:300]
            raise JobFailed(f"{self._name}: {text}", retryable=code in _PASSING) from err


def _text(value: bytes) -> str | bytes:
    """Text, or its bytes where it is none: then it fits no column of text."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _declared(kind: str) -> pa.DataType | None:
    """The type that a column is declared as, by SQLite's own rules; None: it does not say.

    Source: https://www.sqlite.org/datatype3.html, section 3.1.
    """
    kind = kind.upper()
    if "INT" in kind:
        return pa.int64()
    if any(word in kind for word in ("CHAR", "CLOB", "TEXT")):
        return pa.string()
    if "BLOB" in kind:
        return pa.binary()
    return pa.float64() if any(word in kind for word in ("REAL", "FLOA", "DOUBLE")) else None


def _seen(cells: Sequence[object]) -> pa.DataType:
    """The type of values; text where there are none, or several types."""
    kinds = {type(cell) for cell in cells if cell is not None}
    if kinds == {int}:
        return pa.int64()
    if kinds and kinds <= {int, float}:
        return pa.float64()
    return pa.binary() if kinds == {bytes} else pa.string()
