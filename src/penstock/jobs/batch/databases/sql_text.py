"""SQL as text: names, values, tables and the upsert that three of four databases understand."""

from __future__ import annotations

import re
from collections.abc import Callable

from penstock.core.errors import ConfigError
from penstock.jobs.batch.databases.database import ROW, STAGE, KeyValue, Upsert

_LATEST = "penstock_latest"
_RANK = "penstock_rank"
_PART = re.compile(r"[^\W\d][\w$-]*")


def quote(name: str) -> str:
    """A name between double quotes."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: KeyValue) -> str:
    """A whole number, or text between quotes where a backslash is a backslash."""
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def table_parts(table: str) -> tuple[str, ...]:
    """``schema.table`` or ``table`` taken apart.

    Raises:
        ConfigError: it is neither.
    """
    parts = tuple(table.split("."))
    if len(parts) > 2 or not all(_PART.fullmatch(part) for part in parts):
        raise ConfigError(f"table: expected NAME or SCHEMA.NAME, got {table[:100]!r}")
    return parts


def table_name(table: str, quoted: Callable[[str], str] = quote) -> str:
    """A table as SQL has it."""
    return ".".join(map(quoted, table_parts(table)))


def beside(table: str, name: str) -> str:
    """Another table of the schema that a table is in."""
    return ".".join([*table_parts(table)[:-1], name])


def upsert_on_conflict(upsert: Upsert) -> str:
    """``Database.upsert`` of PostgreSQL, SQLite and DuckDB.

    Keys are written in their order, so that two parts never wait for each other in a circle.
    """
    keys = ", ".join(map(quote, upsert.keys))
    names = ", ".join(map(quote, upsert.columns))
    chosen = ", ".join(_cast(name, upsert.types.get(name, "")) for name in upsert.columns)
    others = [quote(name) for name in upsert.columns if name not in upsert.keys]
    change = ", ".join(f"{name} = excluded.{name}" for name in others)
    return (
        f"INSERT INTO {table_name(upsert.table)} ({names}) "  # noqa: S608 - names are quoted
        f"SELECT {chosen} FROM (SELECT *, row_number() OVER "
        f"(PARTITION BY {keys} ORDER BY {ROW} DESC) AS {_RANK} FROM {STAGE}) AS {_LATEST} "
        f"WHERE {_RANK} = 1 ORDER BY {keys} "
        f"ON CONFLICT ({keys}) DO {f'UPDATE SET {change}' if change else 'NOTHING'}"
    )


def trial_on_conflict(table: str, keys: tuple[str, ...]) -> str:
    """A statement that does nothing, and fails where no unique key has these columns."""
    names, target = ", ".join(map(quote, keys)), table_name(table)
    return (
        f"EXPLAIN INSERT INTO {target} ({names}) SELECT {names} FROM {target} "  # noqa: S608
        f"WHERE 1 = 0 ON CONFLICT ({names}) DO NOTHING"
    )


def _cast(name: str, kind: str) -> str:
    return f"CAST({quote(name)} AS {kind})" if kind else quote(name)
