"""MysqlDatabase: MySQL or MariaDB by PyMySQL."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pymysql
from pyarrow import types
from pymysql.constants import CR, ER
from pymysql.converters import escape_string
from pymysql.cursors import Cursor, SSCursor

from penstock.core.errors import JobFailed
from penstock.jobs.batch.databases import sql_text, storage
from penstock.jobs.batch.databases.database import (
    ANSWER_TIMEOUT_S,
    ROW,
    STAGE,
    KeyValue,
    Upsert,
)
from penstock.jobs.batch.databases.mysql_types import arrow_type, cells, sql_type
from penstock.jobs.batch.databases.row_columns import groups, to_columns
from penstock.jobs.batch.databases.sql_url import SqlUrl
from penstock.jobs.batch.source import ReadRows

_CONNECT_TIMEOUT_S = 10
_KEY_CHARACTERS = 512
_SETTINGS = (
    "SET SESSION time_zone = '+00:00'",
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
)
_PASSING = frozenset(
    {
        CR.CR_CONNECTION_ERROR,
        CR.CR_CONN_HOST_ERROR,
        CR.CR_SERVER_GONE_ERROR,
        CR.CR_SERVER_LOST,
        ER.CON_COUNT_ERROR,
        ER.DISK_FULL,
        ER.LOCK_DEADLOCK,
        ER.LOCK_WAIT_TIMEOUT,
        ER.RECORD_FILE_FULL,
        ER.SERVER_SHUTDOWN,
        ER.TOO_MANY_USER_CONNECTIONS,
        1927,  # MariaDB: the connection was killed
        4031,  # MySQL: the server closes what is idle
    }
)
_DENIED = MappingProxyType(
    {
        ER.ACCESS_DENIED_ERROR: "refuses the login",
        ER.DBACCESS_DENIED_ERROR: "access to the database is denied",
    }
)


class MysqlDatabase:
    """A ``Database`` of MySQL 8 or MariaDB 10.2 and later.

    DECIMAL is read as Arrow decimal of its precision, DATETIME as a timestamp without a zone,
    TIMESTAMP as one in UTC, JSON, ENUM and SET as text. Written are lists and what is nested as
    JSON text; NaN and infinity, which the database does not have, as NULL. A text key of a new
    table is VARCHAR(512), compared by its bytes, spaces at its end included.
    """

    def __init__(self, url: SqlUrl) -> None:
        self._url = url
        self._exact = "utf8mb4_bin"
        self.name = str(url)

    def connect(self, *, read_only: bool) -> MysqlSession:
        """See ``Database.connect``."""
        session = MysqlSession(self._url, read_only=read_only)
        self._exact = "utf8mb4_nopad_bin" if session.is_mariadb else "utf8mb4_0900_bin"
        return session

    def quote(self, name: str) -> str:
        """See ``Database.quote``."""
        return _quote(name)

    def literal(self, value: KeyValue) -> str:
        """See ``Database.literal``."""
        return _literal(value)

    def chosen(self, column: str, kind: pa.DataType) -> str:
        """See ``Database.chosen``."""
        del kind
        return _quote(column)

    def key(self, column: str, kind: pa.DataType) -> str:
        """See ``Database.key``."""
        name = _quote(column)
        is_plain = types.is_integer(kind) or types.is_string(kind)
        return name if is_plain else f"CAST({name} AS CHAR)"

    def storable(self, kind: pa.DataType) -> pa.DataType:
        """See ``Database.storable``."""
        kept = storage.storable(kind, lists=False)
        is_wide = types.is_decimal(kept) and (kept.precision > 65 or not 0 <= kept.scale <= 30)
        return pa.string() if is_wide else kept

    def column_type(self, kind: pa.DataType, *, is_key: bool) -> str:
        """See ``Database.column_type``."""
        if is_key and types.is_string(kind):
            return f"VARCHAR({_KEY_CHARACTERS}) CHARACTER SET utf8mb4 COLLATE {self._exact}"
        return (
            f"VARBINARY({_KEY_CHARACTERS})" if is_key and types.is_binary(kind) else sql_type(kind)
        )

    def upsert(self, upsert: Upsert) -> str:
        """See ``Database.upsert``. Rows go in as they were staged, so that the last one wins."""
        names = ", ".join(map(_quote, upsert.columns))
        change = ", ".join(f"{name} = VALUES({name})" for name in map(_quote, upsert.columns))
        return (
            f"INSERT INTO {sql_text.table_name(upsert.table, _quote)} ({names}) "  # noqa: S608
            f"SELECT {names} FROM {STAGE} ORDER BY {ROW} ON DUPLICATE KEY UPDATE {change}"
        )

    def close(self) -> None:
        """See ``Database.close``."""


def _quote(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _literal(value: KeyValue) -> str:
    return str(value) if isinstance(value, int) else f"'{escape_string(value)}'"


class MysqlSession:
    """A ``Session`` of MySQL."""

    def __init__(self, url: SqlUrl, *, read_only: bool) -> None:
        self._url = url
        self._has_stage = False
        ca = url.options.get("ssl_ca")
        with self._translated(), ExitStack() as undo:
            self._db: Any = pymysql.connect(
                host=url.host,
                port=url.port,
                user=url.username or None,
                password=url.password,
                database=url.database,
                charset="utf8mb4",
                connect_timeout=_CONNECT_TIMEOUT_S,
                read_timeout=ANSWER_TIMEOUT_S,
                write_timeout=ANSWER_TIMEOUT_S,
                autocommit=True,
                ssl_ca=ca,
                ssl_verify_cert=ca is not None,
                ssl_verify_identity=ca is not None,
            )
            undo.callback(self.close)
            mode = "READ ONLY" if read_only else "READ WRITE"
            for setting in (*_SETTINGS, f"SET SESSION TRANSACTION {mode}"):
                self._run(setting)
            self._most_bytes = int(self.select("SELECT @@max_allowed_packet")[0][0])
            undo.pop_all()

    @property
    def is_mariadb(self) -> bool:
        """Whether it is MariaDB, whose collations have other names than MySQL's."""
        return "MariaDB" in str(self.select("SELECT version()"))

    def select(self, sql: str) -> list[tuple[Any, ...]]:
        """See ``Session.select``."""
        with self._translated(), closing(self._db.cursor(Cursor)) as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def execute(self, sql: str) -> None:
        """See ``Session.execute``."""
        with self._translated():
            self._run(sql)

    def schema(self, sql: str) -> pa.Schema:
        """See ``Session.schema``."""
        with self._translated(), closing(self._db.cursor(Cursor)) as cursor:
            cursor.execute(sql + "\nLIMIT 0")
            return pa.schema([(told.name, arrow_type(told)) for told in cursor._result.fields])

    def stream(self, sql: str, schema: pa.Schema) -> Generator[ReadRows, None, None]:
        """See ``Session.stream``."""
        first = 0
        cursor: Any = self._db.cursor(SSCursor)
        try:
            with self._translated():
                cursor.execute(sql)
                for rows in groups(cursor.fetchmany):
                    yield to_columns(rows, schema, first)
                    first += len(rows)
        finally:  # what is left is not read to its end: the connection is ended after this
            if cursor._result is not None:
                cursor._result.unbuffered_active = False
            cursor.close()

    def table_columns(self, table: str) -> dict[str, str] | None:
        """See ``Session.table_columns``."""
        rows = self.select(
            "SELECT column_name FROM information_schema.columns "  # noqa: S608
            f"WHERE {_is_table(table)}"
        )
        return {row[0]: "" for row in rows} or None

    def check_unique(self, table: str, keys: Sequence[str]) -> None:
        """See ``Session.check_unique``."""
        rows = self.select(
            "SELECT index_name, column_name FROM information_schema.statistics "  # noqa: S608
            f"WHERE non_unique = 0 AND {_is_table(table)}"
        )
        indexes: dict[str, set[str]] = {}
        for index, column in rows:
            indexes.setdefault(index, set()).add(column)
        if set(keys) not in indexes.values():
            raise JobFailed(f"{self._url}: no unique key of these columns alone")

    def stage(self, batch: pa.RecordBatch) -> None:
        """See ``Session.stage``."""
        with self._translated():
            self._refuse_too_large(batch)
            if not self._has_stage:
                columns = ", ".join(f"{_quote(name)} {sql_type(kind)}" for name, kind in _of(batch))
                self._run(f"CREATE TEMPORARY TABLE {STAGE} ({columns})")
                self._has_stage = True
            marks = ", ".join(["%s"] * batch.num_columns)
            rows = list(zip(*map(cells, batch.columns), strict=True))
            with closing(self._db.cursor(Cursor)) as cursor:
                self._db.begin()
                cursor.executemany(f"INSERT INTO {STAGE} VALUES ({marks})", rows)  # noqa: S608
                self._db.commit()

    def _refuse_too_large(self, batch: pa.RecordBatch) -> None:
        """Raise JobFailed where a row is larger than the server takes: it would hang up."""
        largest = max((_widest(column) for column in batch.columns), default=0)
        if largest >= self._most_bytes:
            raise JobFailed(
                f"{self._url}: a value has {largest} bytes, more than the server's "
                f"max_allowed_packet, {self._most_bytes}; raise it there"
            )

    def publish(self, statements: Sequence[str]) -> None:
        """See ``Session.publish``."""
        with self._translated():
            self._db.begin()
            for statement in statements:  # one that fails ends the session, and so the transaction
                self._run(statement)
            self._db.commit()

    def close(self) -> None:
        """See ``Session.close``."""
        with suppress(pymysql.Error, OSError):
            self._db._force_close()  # without a word: it may be in the middle of an answer

    def _run(self, sql: str) -> None:
        with closing(self._db.cursor(Cursor)) as cursor:
            cursor.execute(sql)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (pymysql.Error, OSError, UnicodeError) as err:
            code, text = _said(err)
            passes = code in _PASSING or isinstance(err, OSError)
            text = _DENIED.get(code) or self._url.masked(text)
            told = f"{text} (error {code})" if code else text
            raise JobFailed(f"{self._url}: {told}", retryable=passes) from err


def _said(err: Exception) -> tuple[int, str]:
    """The number and the first line of an error; 0: it has none."""
    code = err.args[0] if err.args and isinstance(err.args[0], int) else 0
    text = str(err.args[1]) if code and len(err.args) > 1 else str(err)
    return code, (text.splitlines() or [type(err).__name__])[0][:300]


def _is_table(table: str) -> str:
    *schema, name = sql_text.table_parts(table)
    where = _literal(schema[0]) if schema else "database()"
    return f"table_name = {_literal(name)} AND table_schema = {where}"


def _of(batch: pa.RecordBatch) -> list[tuple[str, pa.DataType]]:
    return [(field.name, field.type) for field in batch.schema]


def _widest(column: pa.Array) -> int:
    """The bytes of a column's largest value, if they are text or bytes."""
    if not (types.is_string(column.type) or types.is_binary(column.type)):
        return 0
    return pc.max(pc.binary_length(column)).as_py() or 0
