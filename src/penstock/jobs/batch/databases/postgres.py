"""PostgresDatabase: PostgreSQL by ADBC: binary COPY both ways, in Arrow from end to end."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from typing import Any, TypeVar

import adbc_driver_postgresql
import pyarrow as pa
from adbc_driver_manager import Error
from adbc_driver_postgresql import dbapi
from pyarrow import types

from penstock.core.errors import JobFailed
from penstock.jobs.batch.databases import sql_text, storage
from penstock.jobs.batch.databases.bounded_calls import BoundedCalls, SilenceError
from penstock.jobs.batch.databases.database import ANSWER_TIMEOUT_S, STAGE
from penstock.jobs.batch.databases.sql_url import SqlUrl
from penstock.jobs.batch.databases.standard_sql import TypedSql
from penstock.jobs.batch.source import ReadRows

T = TypeVar("T")

_BATCH_BYTES = 4 * 1024 * 1024
_TIMEOUT_S = 10
_SETTINGS = (
    "SET TimeZone = 'UTC'",
    "SET DateStyle = 'ISO'",
    "SET standard_conforming_strings = on",
)
_PASSING = ("08", "40", "53", "55", "57", "58", "XX")
"""What may pass, by the first two characters of an SQLSTATE."""

_REFUSED = re.compile(
    r"authentication failed|does not exist|no pg_hba|permission denied|not permitted to log in"
    r"|no password supplied|does not support SSL|certificate"
)
"""A login that fails, which has no SQLSTATE, and will fail again."""

_ENDED = re.compile("terminat|cancel|deadlock|recovery|shutting down|starting up")
"""An error in the middle of rows, which has no SQLSTATE, and may pass."""

_LOGIN = ("28", "3D")
_SERVER_SAYS = re.compile(r"(?:ERROR|FATAL|PANIC): +(.+)")

_SQL_TYPES = {
    pa.bool_(): "boolean",
    pa.int16(): "smallint",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.float32(): "real",
    pa.float64(): "double precision",
    pa.string(): "text",
    pa.binary(): "bytea",
    pa.date32(): "date",
    pa.time64("us"): "time",
    pa.timestamp("us"): "timestamp",
    pa.timestamp("us", "UTC"): "timestamptz",
}


class PostgresDatabase(TypedSql):
    """A ``Database`` of PostgreSQL.

    Read are booleans, numbers, text, bytes, dates, times, timestamps and lists of these as what
    they are; all else (``numeric``, ``uuid``, ``jsonb``, ranges) as the text that the database
    makes of it, with every digit. Written are lists as arrays and what is nested as JSON text,
    cast to the type that the column has.
    """

    sql_types = _SQL_TYPES
    decimal = "numeric"

    def __init__(self, url: SqlUrl) -> None:
        self._url = url
        self.name = str(url)

    def connect(self, *, read_only: bool) -> PostgresSession:
        """See ``Database.connect``."""
        return PostgresSession(self._url, read_only=read_only)

    def storable(self, kind: pa.DataType) -> pa.DataType:
        """See ``Database.storable``."""
        return storage.storable(kind, lists=True)

    def close(self) -> None:
        """See ``Database.close``."""


class PostgresSession:
    """A ``Session`` of PostgreSQL. The driver waits for an answer as long as it takes, and cannot
    be told otherwise: so it is called by way of a thread that is left behind where none comes.
    """

    def __init__(self, url: SqlUrl, *, read_only: bool) -> None:
        self._url = url
        self._calls = BoundedCalls("penstock-job-postgres", ANSWER_TIMEOUT_S)
        self._db: Any = None
        with self._translated(is_login=True), ExitStack() as undo:
            undo.callback(self.close)
            mode = "on" if read_only else "off"
            settings = (*_SETTINGS, f"SET default_transaction_read_only = {mode}")
            self._calls.call(partial(self._connect, settings))
            undo.pop_all()

    def select(self, sql: str) -> list[tuple[Any, ...]]:
        """See ``Session.select``."""

        def select(cursor: Any) -> list[tuple[Any, ...]]:
            cursor.execute(sql)
            return list(cursor.fetchall())

        return self._ask(select)

    def execute(self, sql: str) -> None:
        """See ``Session.execute``."""
        self._run(sql)

    def schema(self, sql: str) -> pa.Schema:
        """See ``Session.schema``."""

        def look(cursor: Any) -> pa.Schema:
            cursor.execute(sql + "\nLIMIT 0")
            return cursor.fetch_record_batch().schema

        told = self._ask(look)
        kinds = [field.type if _is_plain(field.type) else pa.string() for field in told]
        return pa.schema(zip(told.names, kinds, strict=True))

    def stream(self, sql: str, schema: pa.Schema) -> Generator[ReadRows, None, None]:
        """See ``Session.stream``."""
        first = 0
        with self._translated(), self._opened() as cursor:
            batches = self._calls.call(partial(_begin, cursor, sql))
            while (batch := self._calls.call(partial(next, batches, None))) is not None:
                yield ReadRows(first, pa.RecordBatch.from_arrays(batch.columns, schema=schema))
                first += batch.num_rows

    def table_columns(self, table: str) -> dict[str, str] | None:
        """See ``Session.table_columns``."""
        name = sql_text.literal(sql_text.table_name(table))
        rows = self.select(
            "SELECT attname::text, format_type(atttypid, NULL) FROM pg_attribute "  # noqa: S608
            f"WHERE attrelid = to_regclass({name}) AND attnum > 0 AND NOT attisdropped"
        )
        return dict(rows) or None

    def check_unique(self, table: str, keys: Sequence[str]) -> None:
        """See ``Session.check_unique``."""

        def attempt(cursor: Any) -> None:
            cursor.adbc_statement.set_options(**{"adbc.postgresql.use_copy": "false"})
            cursor.execute(sql_text.trial_on_conflict(table, tuple(keys)))

        self._ask(attempt)

    def stage(self, batch: pa.RecordBatch) -> None:
        """See ``Session.stage``."""
        self._ask(
            lambda cursor: cursor.adbc_ingest(STAGE, batch, mode="create_append", temporary=True)
        )

    def publish(self, statements: Sequence[str]) -> None:
        """See ``Session.publish``."""
        self._run("BEGIN ISOLATION LEVEL READ COMMITTED")
        for statement in statements:  # one that fails ends the session, and so the transaction
            self._run(statement)
        self._run("COMMIT")

    def close(self) -> None:
        """See ``Session.close``."""
        with suppress(Error, SilenceError):
            self._calls.close(self._disconnect)

    def _connect(self, settings: Sequence[str]) -> None:
        self._db = dbapi.connect(_with_timeout(self._url), autocommit=True)
        for setting in settings:
            with closing(self._db.cursor()) as cursor:
                cursor.executescript(setting)

    def _disconnect(self) -> None:
        if self._db is not None:
            self._db.close()

    def _ask(self, work: Callable[[Any], T]) -> T:
        """What is made of a cursor."""

        def asked() -> T:
            with self._db.cursor() as cursor:
                return work(cursor)

        with self._translated():
            return self._calls.call(asked)

    def _run(self, sql: str) -> None:
        self._ask(lambda cursor: cursor.executescript(sql))

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        """A cursor for several calls. It lives as long as any of them: the driver does not bear to
        lose it under one that it is in.
        """
        cursor = self._calls.call(self._db.cursor)
        try:
            yield cursor
        finally:
            self._calls.give_back(cursor.close)

    @contextmanager
    def _translated(self, *, is_login: bool = False) -> Iterator[None]:
        try:
            yield
        except (Error, pa.ArrowException, OSError) as err:
            state = getattr(err, "sqlstate", None) or ""
            text = _said(err)
            is_refused = state[:2] in _LOGIN or (is_login and _REFUSED.search(text) is not None)
            if state or is_refused:
                passes = state.startswith(_PASSING) and not is_refused
            else:
                is_wrong = "ERROR:" in str(err) or "invalid " in text  # a statement, or the URL
                passes = not is_wrong or _ENDED.search(text) is not None
            told = f"refuses the login: {text}" if is_refused else text
            raise JobFailed(f"{self._url}: {self._url.masked(told)}", retryable=passes) from err


def _begin(cursor: Any, sql: str) -> Iterator[pa.RecordBatch]:
    """Send a query; its rows come as they are asked for."""
    hint = adbc_driver_postgresql.StatementOptions.BATCH_SIZE_HINT_BYTES.value
    cursor.adbc_statement.set_options(**{hint: str(_BATCH_BYTES)})
    cursor.execute(sql)
    return iter(cursor.fetch_record_batch())


def _is_plain(kind: pa.DataType) -> bool:
    """Whether the driver gives values of this type as what they are."""
    if types.is_list(kind):
        return _is_plain(kind.value_type)
    return kind in _SQL_TYPES or (types.is_timestamp(kind) and kind.unit == "us")


def _with_timeout(url: SqlUrl) -> str:
    """The URL for libpq, which gives up on a server that has gone without a word."""
    wanted = {
        "connect_timeout": _TIMEOUT_S,
        "application_name": "penstock",
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
    }
    added = "&".join(f"{name}={value}" for name, value in wanted.items() if name not in url.options)
    return url.text + ("&" if "?" in url.text else "?") + added


def _said(err: Exception) -> str:
    """What the server says in an error, else the driver; without the statement that it was."""
    text = str(err)
    found = _SERVER_SAYS.search(text)
    lines = (found[1] if found else text).strip().splitlines()
    return (lines or [type(err).__name__])[0][:300]
