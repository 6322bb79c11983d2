"""open_database: a URL becomes a Database; load: what needs a library that may be missing."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from penstock.core.errors import ConfigError
from penstock.jobs.batch.databases.sql_url import SqlUrl

if TYPE_CHECKING:
    from penstock.jobs.batch.databases.database import Database

_DATABASES = MappingProxyType(
    {
        "postgresql": ("postgres", "PostgresDatabase", "sql"),
        "mysql": ("mysql", "MysqlDatabase", "sql"),
        "sqlite": ("sqlite", "SqliteDatabase", "batch"),
        "duckdb": ("duckdb_file", "DuckDatabase", "sql"),
    }
)
"""For each scheme the module, the class, and the extra that installs what it needs."""


def open_database(url: SqlUrl) -> Database:
    """The database that a URL names. Connects to nothing.

    Raises:
        ConfigError: its driver is not installed.
    """
    module, name, extra = _DATABASES[url.scheme]
    database: Database = load(f"databases.{module}", name, extra)(url)
    return database


def load(module: str, name: str, extra: str) -> Callable[..., Any]:
    """A class whose module needs what an extra installs.

    Args:
        module: of ``penstock.jobs.batch``.
        name: the class.
        extra: what installs it.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        found: Callable[..., Any] = getattr(import_module(f"penstock.jobs.batch.{module}"), name)
    except ModuleNotFoundError as err:
        if (err.name or "").startswith("penstock"):
            raise
        raise ConfigError(
            f"{module.rpartition('.')[2]}: the package '{err.name}' is missing: pip install "
            f"'penstock[{extra}]'"
        ) from err
    return found
