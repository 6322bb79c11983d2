"""Database and Session: what a batch job asks of a database, whichever it is."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from penstock.jobs.batch.source import ReadRows

if TYPE_CHECKING:
    import pyarrow as pa

KeyValue = int | str
"""A value of a key column: a whole number, or its text, which the database can compare with."""

ANSWER_TIMEOUT_S = 600.0
"""The longest that a server may say nothing: then the connection is given up."""

STAGE = "penstock_stage"
"""The temporary table, of one session, in which rows wait until their part is whole."""

ROW = "penstock_row"
"""Its column that tells in which order the rows came."""


class Upsert(NamedTuple):
    """What moves rows from the stage to a table.

    Attributes:
        table: the table, as the job names it.
        keys: the columns by which a row is found again.
        columns: all columns that are written.
        types: what each column has to be cast to; "": nothing.
    """

    table: str
    keys: Sequence[str]
    columns: Sequence[str]
    types: Mapping[str, str]


class Session(Protocol):
    """One connection. Blocks; one thread at a time.

    Raises, everywhere: JobFailed; ``retryable`` tells whether it may pass. No secret is in it.
    """

    def select(self, sql: str) -> list[tuple[Any, ...]]:
        """A few rows."""
        ...

    def execute(self, sql: str) -> None:
        """A statement that answers nothing."""
        ...

    def schema(self, sql: str) -> pa.Schema:
        """The columns of a query, as ``stream`` gives them."""
        ...

    def stream(self, sql: str, schema: pa.Schema) -> Generator[ReadRows, None, None]:
        """The rows of a query, some at a time; the memory is bounded by that, or by one row.

        Those with a value that does not fit its column's type are bad.

        Args:
            sql: the query.
            schema: of its columns, as ``schema`` told.
        """
        ...

    def table_columns(self, table: str) -> dict[str, str] | None:
        """The names of a table's columns, with what a value has to be cast to ("": to nothing);
        None: there is no such table.
        """
        ...

    def check_unique(self, table: str, keys: Sequence[str]) -> None:
        """Raise JobFailed unless the columns are the table's primary key or a unique one."""
        ...

    def stage(self, batch: pa.RecordBatch) -> None:
        """Append rows to the stage, which is made with the first. Nobody else sees it."""
        ...

    def publish(self, statements: Sequence[str]) -> None:
        """Run statements in one transaction: all of them, or none."""
        ...

    def close(self) -> None:
        """End the connection, and with it the stage. Never raises."""
        ...


class Database(Protocol):
    """A database, and how its SQL is written. Connects to nothing by itself.

    Attributes:
        name: its address as errors show it: never a password.
    """

    @property
    def name(self) -> str:
        """See the class."""
        ...

    def connect(self, *, read_only: bool) -> Session:
        """A connection. Timestamps with a zone come and go in UTC.

        Raises:
            JobFailed: it cannot be made.
        """
        ...

    def quote(self, name: str) -> str:
        """A column's name, as SQL has it."""
        ...

    def literal(self, value: KeyValue) -> str:
        """A value, as SQL has it."""
        ...

    def chosen(self, column: str, kind: pa.DataType) -> str:
        """What to select of a column so that values of its type in ``Session.schema`` come."""
        ...

    def key(self, column: str, kind: pa.DataType) -> str:
        """What to select of a key column so that a KeyValue comes of it."""
        ...

    def storable(self, kind: pa.DataType) -> pa.DataType:
        """As what values of an Arrow type are written."""
        ...

    def column_type(self, kind: pa.DataType, *, is_key: bool) -> str:
        """The SQL type of a new table's column of a type that is storable."""
        ...

    def upsert(self, upsert: Upsert) -> str:
        """The statement that moves the stage's rows to the table: a row whose key is there already
        replaces that; of rows of one key, the one that was staged last.
        """
        ...

    def close(self) -> None:
        """Give back what its sessions share; they are closed before."""
        ...
