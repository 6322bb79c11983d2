"""What databases have alike whose names stand between double quotes: half of ``Database``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pyarrow as pa
from pyarrow import types

from penstock.jobs.batch.databases import sql_text
from penstock.jobs.batch.databases.database import KeyValue, Upsert


class StandardSql:
    """PostgreSQL, SQLite and DuckDB."""

    def quote(self, name: str) -> str:
        """See ``Database.quote``."""
        return sql_text.quote(name)

    def literal(self, value: KeyValue) -> str:
        """See ``Database.literal``."""
        return sql_text.literal(value)

    def upsert(self, upsert: Upsert) -> str:
        """See ``Database.upsert``."""
        return sql_text.upsert_on_conflict(upsert)


class TypedSql(StandardSql):
    """PostgreSQL and DuckDB: they have arrays and decimals, and cast a key to its text.

    Attributes:
        sql_types: the name of each simple type.
        decimal: that of a decimal.
    """

    sql_types: ClassVar[Mapping[pa.DataType, str]]
    decimal: ClassVar[str]

    def chosen(self, column: str, kind: pa.DataType) -> str:
        """See ``Database.chosen``."""
        name = self.quote(column)
        return f"{self._as_text(name)} AS {name}" if types.is_string(kind) else name

    def key(self, column: str, kind: pa.DataType) -> str:
        """See ``Database.key``."""
        name = self.quote(column)
        return name if types.is_integer(kind) else self._as_text(name)

    def column_type(self, kind: pa.DataType, *, is_key: bool) -> str:
        """See ``Database.column_type``."""
        del is_key
        if types.is_list(kind):
            return self.column_type(kind.value_type, is_key=False) + "[]"
        if types.is_decimal(kind):
            return f"{self.decimal}({kind.precision}, {kind.scale})"
        return self.sql_types[kind]

    def _as_text(self, name: str) -> str:
        return f"CAST({name} AS {self.sql_types[pa.string()]})"
