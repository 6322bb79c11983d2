"""What a job file says of databases, HTTP APIs and Redis: a Struct for each ``format``."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from penstock.stores.store_url import without_password

_Text = Annotated[str, Meta(min_length=1)]
_Count = Annotated[int, Meta(ge=1)]
_Seconds = Annotated[float, Meta(gt=0)]

_DAY_S = 86_400.0


class _Table(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="format"
):
    """One ``format``; a field that it does not have is an error."""


class SqlInput(_Table, frozen=True, kw_only=True, tag="sql"):
    """Rows of a table, or of a query.

    Attributes:
        url: see ``parse_sql_url``; ``${NAME}`` in it comes from the environment.
        table: ``NAME`` or ``SCHEMA.NAME``; this or ``query``.
        query: one SELECT without ORDER BY; its columns have names, each another one.
        key: the column whose ranges are the splits: whole numbers, text, dates or timestamps, of
            which none is null; with an index, unless the table is small.
        order: further columns that bring rows of an equal key into one order; needed where ``key``
            is not unique.
        version: a column that grows whenever a row changes; what it says becomes part of a split's
            identity, so that a split with changed rows is read again.
    """

    url: _Text
    key: _Text
    table: str = ""
    query: str = ""
    order: tuple[_Text, ...] = ()
    version: str = ""

    def __repr__(self) -> str:
        """Without a password."""
        return f"SqlInput({without_password(self.url)!r}, key={self.key!r})"


class Paging(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How an API tells where its next page is.

    Attributes:
        by: ``none``: there is one page. ``page``: a number that grows by one. ``offset``: how many
            items come before; grows by the items that came. ``cursor``: what ``pointer`` finds in
            the page before. ``next``: the whole URL of the next page, from ``pointer``, or from the
            header Link (``rel="next"``) where that is empty.
        parameter: the name in the URL's query, for ``page``, ``offset`` and ``cursor``.
        first: the first page's number.
        pointer: a JSON pointer (RFC 6901) into a page.

    The last page is one without items, or without a next URL or cursor.
    """

    by: Literal["none", "page", "offset", "cursor", "next"] = "none"
    parameter: str = ""
    first: int = 1
    pointer: str = ""


class HttpInput(_Table, frozen=True, kw_only=True, tag="http"):
    """Items of the JSON pages of an HTTP API.

    Attributes:
        url: of the first page; ``${NAME}`` comes from the environment.
        items: a JSON pointer (RFC 6901) to the list of items in each page; "": the page itself.
        paging: how the pages follow each other.
        headers: sent with each request; ``${NAME}`` comes from the environment, and what tells who
            asks (Authorization, Cookie, API keys) must.
        timeout_s: the longest wait for an answer, and for each part of it, in seconds.
        tries: how often a page is asked for before the job stands still.
        max_pages: more are an error: the paging does not come to an end.
        max_page_bytes: a larger page is an error.
    """

    url: _Text
    items: str = ""
    paging: Paging = Paging()
    headers: dict[str, str] = {}
    timeout_s: _Seconds = 30.0
    tries: _Count = 6
    max_pages: _Count = 100_000
    max_page_bytes: _Count = 64 * 1024 * 1024

    def __repr__(self) -> str:
        """Without the headers' values and what the URL's query says."""
        return f"HttpInput({without_password(self.url).partition('?')[0]!r})"


class SqlOutput(_Table, frozen=True, kw_only=True, tag="sql"):
    """Rows of a table of PostgreSQL, MySQL, MariaDB, SQLite or DuckDB.

    Attributes:
        url: see ``parse_sql_url``; ``${NAME}`` in it comes from the environment.
        table: ``NAME`` or ``SCHEMA.NAME``; made where it is not there.
        key: the columns by which a row is found again: a row whose key is there replaces that one.
            In a table that is there they are its primary key, or a unique one.
    """

    url: _Text
    table: _Text
    key: Annotated[tuple[_Text, ...], Meta(min_length=1)]

    def __repr__(self) -> str:
        """Without a password."""
        return f"SqlOutput({without_password(self.url)!r}, {self.table!r}, {self.key!r})"


class DuckDbOutput(_Table, frozen=True, kw_only=True, tag="duckdb"):
    """Rows of a table in a file of DuckDB, which one process can write at a time.

    Attributes:
        path: the file; made where it is not there.
        table, key: as for ``SqlOutput``.
    """

    path: _Text
    table: _Text
    key: Annotated[tuple[_Text, ...], Meta(min_length=1)]


class RedisOutput(_Table, frozen=True, kw_only=True, tag="redis"):
    """A value in Redis for each row, where a ``PredictionStore`` finds it.

    A split is one transaction: keep ``split_rows`` at a few thousand, so that others do not wait.

    Attributes:
        url: see ``parse_store_url``; ``${NAME}`` in it comes from the environment.
        key: the key, with columns in braces: ``tweet:{id}``. With ``model`` it is the canonical
            input, of which ``prediction_key(model, version, ...)`` makes the key.
        model: the model's name; "": ``key`` is the whole key.
        version: the model's version, with ``model``.
        columns: those that the value has, in this order; (): all, in theirs.
        encoding: ``json``: a mapping by name. ``msgpack``: an array, as Structs with ``array_like``
            read it.
        ttl_s: seconds until a row expires; null: never.
    """

    url: _Text
    key: _Text
    model: str = ""
    version: _Count = 1
    columns: tuple[_Text, ...] = ()
    encoding: Literal["json", "msgpack"] = "json"
    ttl_s: _Seconds | None = 60 * _DAY_S

    def __repr__(self) -> str:
        """Without a password."""
        return f"RedisOutput({without_password(self.url)!r}, {self.key!r})"


TableInput = SqlInput | HttpInput
TableOutput = SqlOutput | DuckDbOutput | RedisOutput
