"""HttpSource: items of an API's pages, which are kept before the first of them is read."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

import msgspec
import pyarrow as pa

from penstock.core.errors import ConfigError, JobInputError
from penstock.jobs.batch.source import BatchSource, ReadRows
from penstock.jobs.batch.sources.http_client import HttpPage, PageClient
from penstock.jobs.batch.sources.item_columns import SeenColumns, to_rows
from penstock.jobs.batch.sources.json_pointer import JsonPointer
from penstock.jobs.batch.sources.kept_pages import KeptPage, KeptPages, Whole
from penstock.jobs.batch.sources.pieces import pieces
from penstock.jobs.batch.spec_tables import HttpInput
from penstock.jobs.batch.split import Split

_RUN_ROWS = 4096


class HttpSource:
    """A ``BatchSource`` of an API.

    All pages are asked for, in their order, and kept in the job's state folder; a run that goes
    on asks for those that are missing, and reads the others as they came. Splits are runs of whole
    pages.

    Args:
        spec: what to ask for.
        split_rows: the most items of a split, unless a page has more.
        client: who asks.
        state: the job's state folder.
        columns: those that are read; None: all.
    """

    def __init__(
        self,
        spec: HttpInput,
        split_rows: int,
        client: PageClient,
        state: Path,
        columns: frozenset[str] | None = None,
    ) -> None:
        _check(spec)
        self._spec = spec
        self._split_rows = split_rows
        self._client = client
        self._state = state
        self._columns = columns
        self._pages = KeptPages(state, _request(spec))
        self._lock = threading.Lock()
        self._known: Whole | None = None

    def schema(self) -> pa.Schema:
        """See ``BatchSource.schema``. Asks for all pages, where they are not there."""
        return pa.schema(
            field
            for field in _schema(self._whole())
            if self._columns is None or field.name in self._columns
        )

    def only(self, columns: Collection[str]) -> BatchSource:
        """See ``BatchSource.only``."""
        if not columns:
            raise ConfigError("input: no column is asked for")
        names = _schema(self._whole()).names
        for name in sorted(set(columns) - set(names)):
            raise JobInputError(f"{self._client.name}: no item has '{name}'; they have {names}")
        wanted = frozenset(columns)
        return HttpSource(self._spec, self._split_rows, self._client, self._state, wanted)

    def plan(self) -> Iterator[Split]:
        """See ``BatchSource.plan``."""
        whole = self._whole()
        start = rows = 0
        for number, more in enumerate(whole.rows):
            if rows and rows + more > self._split_rows:
                yield self._split(whole, start, number)
                start, rows = number, 0
            rows += more
        if rows:
            yield self._split(whole, start, len(whole.rows))

    def read(self, split: Split, max_rows: int, max_bytes: int) -> Iterator[ReadRows]:
        """See ``BatchSource.read``. Of pages that are kept; asks nobody."""
        whole = self._whole()
        start, stop = int(split.start), int(split.stop or 0)
        if self._split(whole, start, stop) != split:
            raise JobInputError(f"{self._client.name}: other pages are kept than were planned")
        return pieces(self._runs(whole, start, stop), max_rows, max_bytes)

    def close(self) -> None:
        """See ``BatchSource.close``."""
        self._client.close()

    def _runs(self, whole: Whole, start: int, stop: int) -> Iterator[ReadRows]:
        schema = self.schema()
        first = 0
        for number in range(start, stop):
            page = self._pages.get(number, whole.digests[number])
            if page is None:
                raise JobInputError(f"{self._client.name}: page {number} is not kept any more")
            items = _plain(page)
            for at in range(0, len(items), _RUN_ROWS):
                yield to_rows(items[at : at + _RUN_ROWS], schema, first + at)
            first += len(items)

    def _split(self, whole: Whole, start: int, stop: int) -> Split:
        told = "".join(whole.digests[start:stop]).encode()
        digest = hashlib.sha256(told + whole.schema).hexdigest()[:24]
        return Split(self._client.name, digest, start, stop)

    def _whole(self) -> Whole:
        with self._lock:
            if self._known is None:
                self._known = self._pages.whole() or self._ask_for_all()
            return self._known

    def _ask_for_all(self) -> Whole:
        self._pages.begin()
        url, rows, digests, seen = self._first_url(), list[int](), list[str](), SeenColumns()
        while url:
            number = len(rows)
            if number >= self._spec.max_pages:
                raise self._error(f"more than max_pages, {number}: does the paging end?")
            page = self._pages.get(number)
            if page is None:
                page = self._page(self._client.get(url), url, sum(rows), number)
                self._pages.put(number, page)
            if page.following == url:
                raise self._error(f"page {number} says that it is followed by itself")
            digests.append(self._pages.digest(number))
            self._refuse_repeat(page, digests, number)
            rows.append(len(page.items))
            seen.add(_plain(page))
            url = page.following
        if sum(rows) and not len(seen.schema):
            raise self._error("no item is a JSON object with names")
        whole = Whole(rows, digests, seen.schema.serialize().to_pybytes())
        self._pages.finish(whole)
        return whole

    def _page(self, answer: HttpPage, url: str, before: int, number: int) -> KeptPage:
        """What is kept of an answer.

        Args:
            answer: the page.
            url: its address.
            before: how many items came before.
            number: of the page, from 0.
        """
        try:
            document = msgspec.json.decode(answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError) as err:
            raise self._error(f"page {number} is not JSON: {err}") from err
        items = JsonPointer(self._spec.items, "items").find(document)
        if items is None and number:
            items = []
        if not isinstance(items, list):
            kind = type(items).__name__
            raise self._error(f"page {number}: expected a list at {self._spec.items!r}, got {kind}")
        following = self._following(answer, document, url, (before + len(items), number))
        kept = [msgspec.Raw(msgspec.json.encode(item)) for item in items]
        return KeptPage(kept, following if items or self._spec.paging.by == "next" else "")

    def _first_url(self) -> str:
        paging = self._spec.paging
        if paging.by == "page":
            return _with(self._client.url, paging.parameter, str(paging.first))
        if paging.by == "offset":
            return _with(self._client.url, paging.parameter, "0")
        return self._client.url

    def _following(
        self, answer: HttpPage, document: object, url: str, after: tuple[int, int]
    ) -> str:
        """The next page's address; "": there is none."""
        paging, first = self._spec.paging, self._client.url
        items, number = after
        if paging.by == "page":
            return _with(first, paging.parameter, str(paging.first + number + 1))
        if paging.by == "offset":
            return _with(first, paging.parameter, str(items))
        if paging.by == "none":
            return ""
        told: object = answer.next_url
        if paging.pointer:
            told = JsonPointer(paging.pointer, "paging.pointer").find(document)
        if told is None or told == "" or told is False:
            return ""
        if paging.by == "next":
            return urljoin(url, str(told))
        return _with(first, paging.parameter, str(told))

    def _refuse_repeat(self, page: KeptPage, digests: list[str], number: int) -> None:
        """A page that is the one before once more: the API does not know the parameter."""
        if number and page.items and self._spec.paging.by in ("page", "offset"):
            before = self._pages.get(number - 1)
            if before is not None and before.items == page.items:
                raise self._error(
                    f"page {number} is page {number - 1} once more: is "
                    f"'{self._spec.paging.parameter}' the parameter's name?"
                )

    def _error(self, text: str) -> JobInputError:
        return JobInputError(f"{self._client.name}: {text}")


def _check(spec: HttpInput) -> None:
    JsonPointer(spec.items, "items")
    JsonPointer(spec.paging.pointer, "paging.pointer")
    by = spec.paging.by
    if by in ("page", "offset", "cursor") and not spec.paging.parameter:
        raise ConfigError(f"paging.parameter: missing; by: {by} needs the name in the URL's query")
    if by == "cursor" and not spec.paging.pointer:
        raise ConfigError("paging.pointer: missing; by: cursor needs to know where the cursor is")


def _request(spec: HttpInput) -> str:
    """What tells one request from another: as the job says it, without what ``${NAME}`` stands
    for.
    """
    told = msgspec.json.encode([spec.url, spec.items, spec.paging])
    return hashlib.sha256(told).hexdigest()[:24]


def _schema(whole: Whole) -> pa.Schema:
    return pa.ipc.read_schema(pa.py_buffer(whole.schema))


def _plain(page: KeptPage) -> list[object]:
    return [msgspec.json.decode(item) for item in page.items]


def _with(url: str, name: str, value: str) -> str:
    """A URL with a parameter of its query set."""
    parts = urlsplit(url)
    query = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] != name]
    return urlunsplit(parts._replace(query=urlencode([*query, (name, value)])))
