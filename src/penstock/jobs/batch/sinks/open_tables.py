"""open_table_sink: what a job says of a table or of Redis becomes a sink."""

from __future__ import annotations

import os

from penstock.core.errors import ConfigError
from penstock.jobs.batch.databases.open_database import load, open_database
from penstock.jobs.batch.databases.sql_text import table_parts
from penstock.jobs.batch.databases.sql_url import SqlUrl, expand, parse_sql_url
from penstock.jobs.batch.sink import BatchSink
from penstock.jobs.batch.spec_tables import RedisOutput, SqlOutput, TableOutput
from penstock.stores.store_url import parse_store_url


def open_table_sink(spec: TableOutput) -> BatchSink:
    """The sink of a database or of Redis. Connects to nothing yet.

    Raises:
        ConfigError: a field is wrong, or a library is not installed.
    """
    sink: BatchSink
    if isinstance(spec, RedisOutput):
        address = parse_store_url(expand(spec.url, os.environ, "url"))
        if address.scheme not in ("redis", "rediss", "unix"):
            raise ConfigError(f"url: expected redis://, rediss:// or unix://, got {address}")
        sink = load("sinks.redis", "RedisSink", "redis")(address, spec)
        return sink
    url = parse_sql_url(spec.url) if isinstance(spec, SqlOutput) else _duckdb(spec.path)
    table_parts(spec.table)
    sink = load("sinks.sql", "SqlSink", "batch")(open_database(url), spec.table, spec.key)
    return sink


def _duckdb(path: str) -> SqlUrl:
    return SqlUrl("duckdb", "", 0, path, "", "", {}, "")
