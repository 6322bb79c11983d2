"""SqlSource: rows of a table or a query, in ranges of a key."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from penstock.core.errors import ConfigError, JobFailed, JobInputError
from penstock.jobs.batch.databases.database import Database, KeyValue, Session
from penstock.jobs.batch.databases.sql_text import table_name
from penstock.jobs.batch.source import BatchSource, ReadRows
from penstock.jobs.batch.sources.kept_ranges import KeptRanges
from penstock.jobs.batch.sources.pieces import pieces
from penstock.jobs.batch.spec_tables import SqlInput
from penstock.jobs.batch.split import Split

_INPUT = "penstock_input"
_KEY_KINDS = (types.is_integer, types.is_string, types.is_date, types.is_timestamp)


class SqlSource:
    """A ``BatchSource`` of a database.

    The plan is asked of the database each time, by two queries for each split. With the same rows
    it is the same plan; rows before the first key and behind the last one are further splits, since
    the job's state folder keeps where the others end. A split's fingerprint holds the columns and
    their types, the number of its rows and, with ``version``, what that column says: rows that
    come, go or change make another split of theirs.

    Args:
        database: where it is.
        spec: what to read.
        split_rows: the rows of a split; more, where many have the same key.
        state: the job's state folder.
        columns: those that are read; None: all.
    """

    def __init__(
        self,
        database: Database,
        spec: SqlInput,
        split_rows: int,
        state: Path,
        columns: frozenset[str] | None = None,
    ) -> None:
        if bool(spec.table) == bool(spec.query):
            raise ConfigError("input: expected either a table or a query")
        self._database = database
        self._spec = spec
        self._split_rows = split_rows
        self._state = state
        self._columns = columns
        self._lock = threading.Lock()
        self._known: pa.Schema | None = None

    def schema(self) -> pa.Schema:
        """See ``BatchSource.schema``."""
        whole = self._schema()
        if self._columns is None:
            return whole
        return pa.schema([field for field in whole if field.name in self._columns])

    def only(self, columns: Collection[str]) -> BatchSource:
        """See ``BatchSource.only``."""
        if not columns:
            raise ConfigError("input: no column is asked for")
        names = self._schema().names
        for name in sorted(set(columns) - set(names)):
            raise JobInputError(f"{self._what}: there is no column '{name}'; it has {names}")
        wanted = frozenset(columns)
        return SqlSource(self._database, self._spec, self._split_rows, self._state, wanted)

    def plan(self) -> Iterator[Split]:
        """See ``BatchSource.plan``."""
        schema = self._schema()
        with self._session() as session:
            plan = _Plan(session, self._database, self._spec, self._from, schema)
            plan.refuse_null_keys(self._what)
            kept = KeptRanges(self._state, f"{self._digest(schema)}:{self._split_rows}")
            ranges = kept.get()
            if ranges:
                ranges = [*plan.below(ranges[0][0], self._split_rows), *ranges]
            for begin, end in ranges:
                yield plan.split(self._what, self._digest(schema), begin, end)
            start = plan.first(ranges[-1][1] if ranges else None)
            while start is not None:
                stop = plan.after(start, self._split_rows)
                split = plan.split(self._what, self._digest(schema), start, stop)
                yield split
                if split.stop is not None:
                    ranges.append((start, split.stop))
                start = stop
            kept.put(ranges)

    def read(self, split: Split, max_rows: int, max_bytes: int) -> Iterator[ReadRows]:
        """See ``BatchSource.read``. One query, and so one state of the table."""
        schema = self._schema()
        fingerprint = split.fingerprint.split(":")
        if fingerprint[0] != self._digest(schema):
            raise self._changed("its columns or what is asked of them")
        ordered = (self._spec.key, *self._spec.order)
        wanted = self.schema()
        names = [name for name in schema.names if name in ordered or name in wanted.names]
        read = pa.schema([schema.field(name) for name in names])
        checked = _Checked(ordered, self._what)
        query = self._query(split, read, ordered)
        with self._session() as session, closing(session.stream(query, read)) as runs:
            for piece in pieces(checked.follow(runs), max_rows, max_bytes):
                yield piece._replace(batch=piece.batch.select(wanted.names))
        if checked.rows != int(fingerprint[1]):
            raise self._changed(f"{fingerprint[1]} rows were planned, {checked.rows} are there")

    def close(self) -> None:
        """See ``BatchSource.close``."""
        self._database.close()

    @property
    def _what(self) -> str:
        return f"{self._database.name} {self._spec.table or 'query'}"

    @property
    def _from(self) -> str:
        """The table or the query, as SQL has it behind FROM."""
        if self._spec.table:
            return f"{table_name(self._spec.table, self._database.quote)} AS {_INPUT}"
        return f"({self._spec.query.rstrip().rstrip(';')}\n) AS {_INPUT}"

    @contextmanager
    def _session(self) -> Iterator[Session]:
        """A connection; what fails is the input's error."""
        try:
            with closing(self._database.connect(read_only=True)) as session:
                yield session
        except JobInputError:
            raise
        except JobFailed as err:
            raise JobInputError(f"input: {err.message}", retryable=err.retryable) from err

    def _schema(self) -> pa.Schema:
        with self._lock:
            if self._known is None:
                with self._session() as session:
                    known = session.schema(f"SELECT * FROM {self._from}")  # noqa: S608 - quoted
                self._check(known)
                self._known = known
            return self._known

    def _check(self, schema: pa.Schema) -> None:
        twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
        if twice:
            raise JobInputError(f"{self._what}: the column '{twice[0]}' comes twice; rename one")
        version = (self._spec.version,) if self._spec.version else ()
        for name in (self._spec.key, *self._spec.order, *version):
            if name not in schema.names:
                raise JobInputError(f"{self._what}: no column '{name}'; it has {schema.names}")
        kind = schema.field(self._spec.key).type
        if not any(fits(kind) for fits in _KEY_KINDS):
            raise JobInputError(
                f"{self._what}: the key '{self._spec.key}' is {kind}; expected a column of whole "
                f"numbers, text, dates or timestamps"
            )

    def _digest(self, schema: pa.Schema) -> str:
        told = [self._what, self._spec.query, self._spec.key, self._spec.order, str(schema)]
        return hashlib.sha256(msgspec.json.encode(told)).hexdigest()[:24]

    def _query(self, split: Split, read: pa.Schema, ordered: tuple[str, ...]) -> str:
        quote = self._database.quote
        chosen = ", ".join(self._database.chosen(field.name, field.type) for field in read)
        order = ", ".join(f"{_INPUT}.{quote(name)}" for name in ordered)
        where = _range(self._database, self._spec.key, split.start, split.stop)
        return f"SELECT {chosen} FROM {self._from} WHERE {where} ORDER BY {order}"  # noqa: S608

    def _changed(self, what: str) -> JobInputError:
        return JobInputError(
            f"{self._what}: it is not what was planned: {what}; run the job again: it plans anew, "
            f"and keeps what has not changed"
        )


def _range(database: Database, key: str, start: KeyValue, stop: KeyValue | None) -> str:
    column = f"{_INPUT}.{database.quote(key)}"
    begin = f"{column} >= {database.literal(start)}"
    return begin if stop is None else f"{begin} AND {column} < {database.literal(stop)}"


class _Plan(NamedTuple):
    """The queries that find splits."""

    session: Session
    database: Database
    spec: SqlInput
    source: str
    kinds: pa.Schema

    @property
    def key(self) -> str:
        """The key column, as SQL has it."""
        return f"{_INPUT}.{self.database.quote(self.spec.key)}"

    def refuse_null_keys(self, what: str) -> None:
        """Raise JobInputError where a key is null: that row would be in no split."""
        if self.session.select(f"SELECT 1 FROM {self.source} WHERE {self.key} IS NULL LIMIT 1"):  # noqa: S608
            raise JobInputError(
                f"{what}: the key '{self.spec.key}' is null in some rows, which would be in no "
                f"split; choose another key, or a query WHERE {self.spec.key} IS NOT NULL"
            )

    def first(self, least: KeyValue | None) -> KeyValue | None:
        """The smallest key, or that which is not below ``least``; None: there are no rows."""
        where = "" if least is None else f"WHERE {self.key} >= {self.database.literal(least)} "
        return self._key(f"{where}ORDER BY {self.key} LIMIT 1")

    def below(self, limit: KeyValue, rows: int) -> Iterator[tuple[KeyValue, KeyValue]]:
        """Where splits begin and end of rows that have come with keys below all that are known."""
        is_below = f"{self.key} < {self.database.literal(limit)}"
        start = self._key(f"WHERE {is_below} ORDER BY {self.key} LIMIT 1")
        while start is not None:
            stop = self.after(start, rows, f"{is_below} AND ")
            yield start, limit if stop is None else stop
            start = stop

    def after(self, start: KeyValue, rows: int, where: str = "") -> KeyValue | None:
        """The key at which the split that begins at ``start`` ends; None: it is the last one."""
        later = f"WHERE {where}{self.key} > {self.database.literal(start)}"
        return self._key(f"{later} ORDER BY {self.key} LIMIT 1 OFFSET {rows - 1}")

    def split(self, what: str, digest: str, start: KeyValue, stop: KeyValue | None) -> Split:
        """The split from ``start`` to ``stop``. The last one of whole numbers ends at its largest,
        so that rows that come meanwhile belong to the next run.
        """
        chosen = ["count(*)"]
        is_last_of_numbers = stop is None and isinstance(start, int)
        if is_last_of_numbers:
            chosen.append(f"max({self.key})")
        if self.spec.version:
            chosen.append(f"max({_INPUT}.{self.database.quote(self.spec.version)})")
        where = _range(self.database, self.spec.key, start, stop)
        sql = f"SELECT {', '.join(chosen)} FROM {self.source} WHERE {where}"  # noqa: S608
        (row,) = self.session.select(sql)
        if is_last_of_numbers:
            stop = int(row[1]) + 1
        version = f":{row[-1]}" if self.spec.version else ""
        return Split(what, f"{digest}:{row[0]}{version}", start, stop)

    def _key(self, rest: str) -> KeyValue | None:
        kind = self.kinds.field(self.spec.key).type
        chosen = self.database.key(self.spec.key, kind)
        rows = self.session.select(f"SELECT {chosen} AS k FROM {self.source} {rest}")  # noqa: S608
        if not rows:
            return None
        (value,) = rows[0]
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise JobInputError(
                f"{self.spec.key}: expected whole numbers, text, dates or timestamps as keys, got "
                f"a {type(value).__name__}"
            )
        return value


class _Checked:
    """Counts rows, and refuses two of which nothing says which comes first.

    Attributes:
        rows: how many came.
    """

    def __init__(self, ordered: tuple[str, ...], what: str) -> None:
        self.rows = 0
        self._ordered = list(ordered)
        self._what = what
        self._last: pa.RecordBatch | None = None

    def follow(self, runs: Iterator[ReadRows]) -> Iterator[ReadRows]:
        """The same rows.

        Raises:
            JobInputError: two rows that follow each other are equal in all columns of the order.
        """
        for run in runs:
            self.rows += run.num_rows
            if run.batch.num_rows:
                self._refuse_ties(run.batch.select(self._ordered))
            yield run

    def _refuse_ties(self, keys: pa.RecordBatch) -> None:
        if self._last is not None:
            keys = pa.concat_batches([self._last, keys])
        same = None
        for column in keys.columns:
            after, before = column[1:], column[:-1]
            nulls = pc.and_(pc.is_null(after), pc.is_null(before))
            equal = pc.or_(pc.fill_null(pc.equal(after, before), False), nulls)
            same = equal if same is None else pc.and_(same, equal)
        self._last = keys.slice(keys.num_rows - 1)
        at = pc.index(same, True).as_py()
        if at >= 0:
            told = {name: keys.column(name)[at].as_py() for name in self._ordered}
            raise JobInputError(
                f"{self._what}: two rows have {str(told)[:200]}, and nothing says which comes "
                f"first; name columns in 'order' that tell them apart"
            )
