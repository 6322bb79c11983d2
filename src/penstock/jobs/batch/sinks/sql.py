"""SqlSink: rows of a table, replaced by key; a split is one transaction."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import Any, TypeVar

import pyarrow as pa

from penstock.core.errors import ConfigError, JobFailed, JobOutputError
from penstock.jobs.batch.databases.database import ROW, Database, KeyValue, Session, Upsert
from penstock.jobs.batch.databases.sql_text import beside, table_name
from penstock.jobs.batch.databases.storage import store
from penstock.jobs.batch.sink import PartWriter, Receipt

T = TypeVar("T")

_PARTS = "penstock_parts"
_WHOLE = "_SUCCESS"


class SqlSink:
    """A ``BatchSink`` of a database's table.

    Rows wait in a temporary table of the writer's own session. The commit moves them, and notes
    the split in the table ``penstock_parts`` beside the output, in one transaction: all of it is
    there, or nothing. Laws: to write a split once more changes nothing; of rows of one key the last
    one of a split is kept, and of several splits that of the one committed last.

    Args:
        database: where it is.
        table: ``NAME`` or ``SCHEMA.NAME``; made where it is not there.
        keys: the columns by which a row is found again; never null.
    """

    def __init__(self, database: Database, table: str, keys: Sequence[str]) -> None:
        self._database = database
        self._table = table
        self._keys = tuple(keys)
        self._book = _Book(database, table)
        self._lock = threading.Lock()
        self._clerk: Session | None = None
        self._accepted: dict[pa.Schema, dict[str, str]] = {}

    def open(self, split_id: str, schema: pa.Schema) -> PartWriter:
        """See ``BatchSink.open``."""
        for name in self._keys:
            if name not in schema.names:
                raise ConfigError(
                    f"output: key: there is no column '{name}' in what is written, which has "
                    f"{schema.names}; name it in 'keep'"
                )
        kept = pa.schema([(f.name, self._database.storable(f.type)) for f in schema])
        types = self._ask(partial(self._accept, schema=kept))
        upsert = Upsert(self._table, self._keys, tuple(schema.names), types)
        with writing():
            session = self._database.connect(read_only=False)
        note = partial(self._book.note, split_id)
        return _SqlPart(session, kept, self._database.upsert(upsert), self._keys, note)

    def holds(self, split_id: str, receipt: Receipt) -> bool:
        """See ``BatchSink.holds``: the table is there, and this split is noted as committed."""
        rows = self._ask(partial(self._noted, split_id=split_id))
        return bool(rows) and int(rows[0][0]) == receipt.rows

    def begin(self) -> None:
        """See ``BatchSink.begin``. Dead writers' temporary tables ended with their sessions."""
        self._ask(lambda clerk: clerk.execute(self._book.create()))
        self._ask(lambda clerk: clerk.publish(self._book.forget(_WHOLE)))

    def finish(self, summary: bytes) -> None:
        """See ``BatchSink.finish``: a row of ``penstock_parts`` named ``_SUCCESS``."""
        noted = self._book.note(_WHOLE, 0, summary.decode(errors="replace"))
        self._ask(lambda clerk: clerk.publish(noted))

    def close(self) -> None:
        """See ``BatchSink.close``."""
        with self._lock:
            self._dismiss()
        self._database.close()

    def _noted(self, clerk: Session, split_id: str) -> list[tuple[Any, ...]]:
        """What is noted of a split; nothing where the tables are not there."""
        tables = (self._table, beside(self._table, _PARTS))
        if any(clerk.table_columns(table) is None for table in tables):
            return []
        return clerk.select(self._book.rows_of(split_id))

    def _accept(self, clerk: Session, schema: pa.Schema) -> dict[str, str]:
        """Make the table where it is not there. What was accepted once is not looked at again.

        Returns:
            what each column has to be cast to.

        Raises:
            JobOutputError: it is there, and lacks a column or the unique key.
        """
        if schema in self._accepted:
            return self._accepted[schema]
        clerk.execute(self._book.create())
        there = clerk.table_columns(self._table)
        if there is None:
            clerk.publish(self._book.forget())  # of a table of this name that was dropped
            clerk.execute(self._create(schema))
            there = clerk.table_columns(self._table) or {}
        missing = [name for name in schema.names if name not in there]
        if missing:
            raise JobOutputError(
                f"output: {self._database.name} {self._table}: the table has no column "
                f"'{missing[0]}'; add it, rename the output, or write to another table"
            )
        try:
            clerk.check_unique(self._table, self._keys)
        except JobFailed as err:
            if err.retryable:
                raise
            raise JobOutputError(
                f"output: {self._database.name} {self._table}: rows cannot be found again by "
                f"{', '.join(self._keys)}, which must be its primary key or a unique one, and "
                f"writable: {err.message}"
            ) from err
        self._accepted[schema] = {name: there[name] for name in schema.names}
        return self._accepted[schema]

    def _create(self, schema: pa.Schema) -> str:
        quote = self._database.quote
        columns = []
        for field in schema:
            is_key = field.name in self._keys
            kind = self._database.column_type(field.type, is_key=is_key)
            columns.append(f"{quote(field.name)} {kind}{' NOT NULL' if is_key else ''}")
        keys = ", ".join(map(quote, self._keys))
        name = table_name(self._table, quote)
        return f"CREATE TABLE IF NOT EXISTS {name} ({', '.join(columns)}, PRIMARY KEY ({keys}))"

    def _ask(self, work: Callable[[Session], T]) -> T:
        """Do what may be done twice with the one session for small questions; where that one was
        lost since it was used, with a new one.
        """
        with self._lock, writing():
            is_old = self._clerk is not None
            try:
                return self._with_clerk(work)
            except JobFailed as err:
                if not (is_old and err.retryable):
                    raise
            return self._with_clerk(work)

    def _with_clerk(self, work: Callable[[Session], T]) -> T:
        is_sound = False
        try:
            if self._clerk is None:
                self._clerk = self._database.connect(read_only=False)
            answer = work(self._clerk)
            is_sound = True
            return answer
        finally:
            if not is_sound:
                self._dismiss()

    def _dismiss(self) -> None:
        clerk, self._clerk = self._clerk, None
        if clerk is not None:
            clerk.close()


class _SqlPart:
    """A ``PartWriter`` of one session."""

    def __init__(
        self,
        session: Session,
        schema: pa.Schema,
        upsert: str,
        keys: Sequence[str],
        note: Callable[[int], list[str]],
    ) -> None:
        self._session = session
        self._schema = schema
        self._upsert = upsert
        self._keys = keys
        self._note = note
        self._rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """See ``PartWriter.write``."""
        for name in self._keys:
            if batch.column(name).null_count:
                at = self._rows + batch.column(name).is_null().index(True).as_py()
                raise JobOutputError(
                    f"output: the key '{name}' is null in row {at} of the split: a row without a "
                    f"key cannot be found again"
                )
        if not batch.num_rows:
            return
        numbers = pa.array(range(self._rows, self._rows + batch.num_rows), pa.int64())
        with writing():
            kept = store(batch, self._schema)
            self._session.stage(kept.append_column(ROW, numbers))
        self._rows += batch.num_rows

    def commit(self) -> Receipt:
        """See ``PartWriter.commit``."""
        moved = [self._upsert] if self._rows else []
        with closing(self._session), writing():
            self._session.publish([*moved, *self._note(self._rows)])
        return Receipt(self._rows)

    def abort(self) -> None:
        """See ``PartWriter.abort``."""
        self._session.close()


class _Book:
    """The statements about ``penstock_parts``: which splits of which table are there."""

    def __init__(self, database: Database, table: str) -> None:
        self._name = table_name(beside(table, _PARTS), database.quote)
        self._literal = database.literal
        self._of = f"output = {database.literal(table)}"
        self._table = table
        self._key = database.column_type(pa.string(), is_key=True)
        self._text = database.column_type(pa.string(), is_key=False)
        self._number = database.column_type(pa.int64(), is_key=False)

    def create(self) -> str:
        """Make the table where it is not there."""
        short = self._key.replace("512", "128")  # two of 512 are too long for a key of MySQL
        return (
            f"CREATE TABLE IF NOT EXISTS {self._name} (output {self._key} NOT NULL, "
            f"split {short} NOT NULL, num_rows {self._number} NOT NULL, summary {self._text}, "
            f"PRIMARY KEY (output, split))"
        )

    def rows_of(self, split_id: str) -> str:
        """The number of rows of a split that is there."""
        return f"SELECT num_rows FROM {self._name} WHERE {self._is(split_id)}"  # noqa: S608

    def note(self, split_id: str, rows: int, summary: str = "") -> list[str]:
        """Note a split, as it is now."""
        values: list[KeyValue] = [self._table, split_id, rows, summary]
        told = ", ".join(self._literal(value) for value in values)
        return [*self.forget(split_id), f"INSERT INTO {self._name} VALUES ({told})"]  # noqa: S608

    def forget(self, split_id: str = "") -> list[str]:
        """Forget a split; "": all of them."""
        which = self._is(split_id) if split_id else self._of
        return [f"DELETE FROM {self._name} WHERE {which}"]  # noqa: S608

    def _is(self, split_id: str) -> str:
        return f"{self._of} AND split = {self._literal(split_id)}"


@contextmanager
def writing() -> Iterator[None]:
    """What fails is the output's error."""
    try:
        yield
    except JobOutputError:
        raise
    except JobFailed as err:
        raise JobOutputError(f"output: {err.message}", retryable=err.retryable) from err
