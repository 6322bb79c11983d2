"""open_table_source: what a job says of a database or an HTTP API becomes a source."""

from __future__ import annotations

from pathlib import Path

from penstock.jobs.batch.databases.open_database import load, open_database
from penstock.jobs.batch.databases.sql_text import table_parts
from penstock.jobs.batch.databases.sql_url import parse_sql_url
from penstock.jobs.batch.source import BatchSource
from penstock.jobs.batch.spec_tables import HttpInput, TableInput


def open_table_source(spec: TableInput, split_rows: int, state: Path) -> BatchSource:
    """The source of a database or an HTTP API. Connects to nothing yet.

    Args:
        spec: what to read.
        split_rows: about how many rows a split has.
        state: the job's state folder, which keeps the pages of an API, and where the splits of
            a table end.

    Raises:
        ConfigError: a field is wrong, or a library is not installed.
    """
    source: BatchSource
    if isinstance(spec, HttpInput):
        client = load("sources.http_client", "PageClient", "http")(spec)
        source = load("sources.http_pages", "HttpSource", "batch")(spec, split_rows, client, state)
        return source
    if spec.table:
        table_parts(spec.table)
    database = open_database(parse_sql_url(spec.url))
    source = load("sources.sql", "SqlSource", "batch")(database, spec, split_rows, state)
    return source
