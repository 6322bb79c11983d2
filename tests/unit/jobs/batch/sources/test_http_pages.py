"""HttpSource against an API on this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock.core.errors import ConfigError, JobInputError
from penstock.jobs.batch.sources.http_client import PageClient
from penstock.jobs.batch.sources.http_pages import HttpSource
from penstock.jobs.batch.spec_tables import HttpInput, Paging
from tests.unit.jobs.batch.sources.page_server import Answer, Asked, PageServer, page_server

MANY = 1 << 20
ITEMS = [{"id": i, "text": f"ünï {i}", "score": i / 2} for i in range(23)]


def open_source(server: PageServer, state: Path, **fields: Any) -> HttpSource:
    environ = fields.pop("environ", {})
    split_rows = fields.pop("split_rows", 10)
    waits: list[float] = fields.pop("waits", [])
    spec = HttpInput(**{"url": server.url, "items": "/data", **fields})
    return HttpSource(spec, split_rows, PageClient(spec, environ, waits.append), state)


def rows_of(source: HttpSource) -> list[list[Any]]:
    return [
        [row for piece in source.read(split, 4, MANY) for row in piece.batch.to_pylist()]
        for split in source.plan()
    ]


def by_page(asked: Asked) -> Answer:
    start = 5 * (int(asked.query["page"]) - 1)
    return Answer({"data": ITEMS[start : start + 5]})


def by_offset(asked: Asked) -> Answer:
    start = int(asked.query["skip"])
    return Answer({"data": ITEMS[start : start + 5]})


def by_cursor(asked: Asked) -> Answer:
    start = int(asked.query.get("after", "c0").removeprefix("c"))
    more = {"next": f"c{start + 5}"} if start + 5 < len(ITEMS) else {"next": None}
    return Answer({"data": ITEMS[start : start + 5], "meta": more})


def by_next(asked: Asked) -> Answer:
    start = int(asked.query.get("at", "0"))
    more = f"?at={start + 5}" if start + 5 < len(ITEMS) else None
    return Answer({"data": ITEMS[start : start + 5], "links": [{"next": more}]})


def by_link(asked: Asked) -> Answer:
    start = int(asked.query.get("at", "0"))
    is_last = start + 5 >= len(ITEMS)
    headers = {} if is_last else {"Link": f'</items?at={start + 5}>; rel="next"'}
    return Answer({"data": ITEMS[start : start + 5]}, headers=headers)


@pytest.mark.parametrize(
    ("answer", "paging", "pages"),
    [
        (by_page, Paging("page", "page"), 6),
        (by_offset, Paging("offset", "skip"), 6),
        (by_cursor, Paging("cursor", "after", pointer="/meta/next"), 5),
        (by_next, Paging("next", pointer="/links/0/next"), 5),
        (by_link, Paging("next"), 5),
    ],
)
def test_all_pages_come_in_order_and_are_asked_for_once(
    tmp_path: Path, answer: Callable[[Asked], Answer], paging: Paging, pages: int
) -> None:
    with page_server(answer) as server:
        source = open_source(server, tmp_path, paging=paging)
        splits = rows_of(source)
        again = rows_of(open_source(server, tmp_path, paging=paging))

        assert [row for split in splits for row in split] == ITEMS
        assert [len(split) for split in splits] == [10, 10, 3]
        assert again == splits
        assert len(server.asked) == pages


def test_one_page_that_is_a_list(tmp_path: Path) -> None:
    with page_server(lambda _: Answer(ITEMS)) as server:
        source = open_source(server, tmp_path, items="")
        assert rows_of(source) == [ITEMS]
        assert next(iter(source.plan())).source == server.url


def test_a_run_that_goes_on_asks_for_what_is_missing_alone(tmp_path: Path) -> None:
    def breaks(asked: Asked) -> Answer:
        return Answer(b"", 500) if asked.query["page"] == "4" else by_page(asked)

    with page_server(breaks) as server:
        paging = Paging("page", "page")
        with pytest.raises(JobInputError, match="answers 500") as caught:
            open_source(server, tmp_path, paging=paging, tries=2).schema()
        assert caught.value.retryable
        assert [asked.query["page"] for asked in server.asked] == ["1", "2", "3", "4", "4"]

        server.asked.clear()
        server.answer = by_page
        source = open_source(server, tmp_path, paging=paging)
        assert [row for split in rows_of(source) for row in split] == ITEMS
        assert [asked.query["page"] for asked in server.asked] == ["4", "5", "6"]


def test_pages_of_another_request_are_asked_for_anew_and_those_of_the_first_stay(
    tmp_path: Path,
) -> None:
    with page_server(by_page) as server:
        open_source(server, tmp_path, paging=Paging("page", "page")).schema()

        later = open_source(server, tmp_path, paging=Paging("page", "page", first=4))
        assert [row["id"] for split in rows_of(later) for row in split] == list(range(15, 23))

        server.asked.clear()
        again = open_source(server, tmp_path, paging=Paging("page", "page"))
        assert [row for split in rows_of(again) for row in split] == ITEMS
        assert server.asked == []


def test_busy_servers_are_asked_again_when_they_say(tmp_path: Path) -> None:
    waits: list[float] = []

    def busy(asked: Asked) -> Answer:
        match asked.count:
            case 0:
                return Answer(b"", 429, {"Retry-After": "7"})
            case 1:
                return Answer(b"", 503, {"Retry-After": "99999"})
            case 2:
                return Answer(b"", 502)
        return Answer({"data": ITEMS})

    with page_server(busy) as server:
        source = open_source(server, tmp_path, waits=waits)
        assert rows_of(source) == [ITEMS]

    assert waits[:2] == [7.0, 120.0]
    assert 0 <= waits[2] <= 120.0


@pytest.mark.parametrize(("status", "hint"), [(401, "headers"), (404, "404"), (302, "redirects")])
def test_what_lasts_is_not_asked_again(tmp_path: Path, status: int, hint: str) -> None:
    answer = Answer(b"", status, {"Location": "http://127.0.0.1:1/other"})
    with page_server(lambda _: answer) as server:
        with pytest.raises(JobInputError, match=hint) as caught:
            open_source(server, tmp_path).schema()
        assert not caught.value.retryable
        assert len(server.asked) == 1


def test_a_token_that_is_revoked_in_mid_job(tmp_path: Path) -> None:
    def revoked(asked: Asked) -> Answer:
        return by_page(asked) if asked.count < 2 else Answer(b"s3cr3t is no good", 401)

    with page_server(revoked) as server:
        fields = {
            "url": server.url + "?key=${KEY}",
            "paging": Paging("page", "page"),
            "headers": {"Authorization": "Bearer ${TOKEN}", "X-Plain": "plain"},
            "environ": {"TOKEN": "s3cr3t", "KEY": "s3cr3t-key"},
        }
        with pytest.raises(JobInputError, match="answers 401") as caught:
            open_source(server, tmp_path, **dict(fields)).schema()
        assert "s3cr3t" not in str(caught.value)
        assert not caught.value.retryable
        assert server.asked[0].headers["authorization"] == "Bearer s3cr3t"
        assert server.asked[1].query == {"key": "s3cr3t-key", "page": "2"}

        server.answer = by_page
        source = open_source(server, tmp_path, **dict(fields))
        assert [row for split in rows_of(source) for row in split] == ITEMS
        assert "s3cr3t" not in str(list(source.plan()))
        assert (tmp_path / "pages").stat().st_mode & 0o077 == 0


def test_secrets_come_from_the_environment_alone(tmp_path: Path) -> None:
    with page_server(by_page) as server:
        with pytest.raises(ConfigError, match=r"headers.X-Api-Key: a secret in clear text") as told:
            open_source(server, tmp_path, headers={"X-Api-Key": "s3cr3t"})
        assert "s3cr3t" not in str(told.value)
        with pytest.raises(ConfigError, match="the environment has no TOKEN"):
            open_source(server, tmp_path, headers={"Authorization": "Bearer ${TOKEN}"})
    spec = HttpInput(url="http://u:s3cr3t@host/x?token=s3cr3t", headers={"A": "s3cr3t"})
    assert "s3cr3t" not in repr(spec)


def test_the_next_page_is_of_the_same_host(tmp_path: Path) -> None:
    answer = Answer({"data": ITEMS, "next": "http://127.0.0.2:1/items"})
    with page_server(lambda _: answer) as server:
        source = open_source(server, tmp_path, paging=Paging("next", pointer="/next"))
        with pytest.raises(JobInputError, match="of another host"):
            source.schema()


@pytest.mark.parametrize(
    ("answer", "fields", "text"),
    [
        (Answer(b"<html>"), {}, "page 0 is not JSON"),
        (Answer({"rows": []}), {}, "page 0: expected a list at '/data', got NoneType"),
        (Answer({"data": {"a": 1}}), {}, "expected a list at '/data', got dict"),
        (Answer({"data": [1, 2]}), {}, "no item is a JSON object"),
        (Answer({"data": ITEMS}), {"max_page_bytes": 100}, "larger than max_page_bytes"),
        (Answer({"data": ITEMS}), {"paging": Paging("page", "p")}, "is 'p' the parameter's name"),
        (
            Answer({"data": ITEMS, "c": "x"}),
            {"paging": Paging("cursor", "c", pointer="/c")},
            "followed by itself",
        ),
    ],
)
def test_nonsense_is_told(
    tmp_path: Path, answer: Answer, fields: dict[str, Any], text: str
) -> None:
    with page_server(lambda _: answer) as server, pytest.raises(JobInputError, match=text):
        open_source(server, tmp_path, **fields).schema()


def test_paging_without_an_end(tmp_path: Path) -> None:
    with page_server(lambda asked: Answer({"data": [{"n": asked.count}]})) as server:
        source = open_source(server, tmp_path, paging=Paging("page", "p"), max_pages=3)
        with pytest.raises(JobInputError, match="more than max_pages, 3"):
            source.schema()


def test_nobody_listens(tmp_path: Path) -> None:
    with page_server(by_page) as server:
        pass
    waits: list[float] = []
    with pytest.raises(JobInputError, match="cannot be reached: ConnectError") as caught:
        open_source(server, tmp_path, tries=3, waits=waits).schema()
    assert caught.value.retryable
    assert len(waits) == 2


def test_items_of_many_shapes(tmp_path: Path) -> None:
    items: list[Any] = [
        {"id": 1, "n": None, "tags": ["a"], "user": {"name": "x"}},
        {"id": 2.5, "n": 3, "more": True, "user": {"name": "y", "age": 3}},
        {"id": "three", "n": 4},
        "no object",
        {"id": 5, "n": "five"},
        {"id": 6, "n": 2**70},
        {"id": 7, "tags": [], "nothing": None},
    ]
    with page_server(lambda _: Answer({"data": items})) as server:
        source = open_source(server, tmp_path)
        (split,) = source.plan()
        (piece,) = source.read(split, MANY, MANY)

        assert piece.batch.column("id").to_pylist() == [1.0, 2.5, 7.0]
        assert piece.batch.column("user").to_pylist() == [
            {"name": "x", "age": None},
            {"name": "y", "age": 3},
            None,
        ]
        assert [bad.row for bad in piece.bad] == [2, 3, 4, 5]
        assert piece.bad[1].raw == b'"no object"'
        assert str(source.schema().field("nothing").type) == "string"
        narrow = source.only({"n"})
        (piece,) = narrow.read(split, MANY, MANY)
        assert piece.batch.schema.names == ["n"]
        assert [bad.row for bad in piece.bad] == [3, 4, 5]
        with pytest.raises(JobInputError, match="no item has 'nope'"):
            source.only({"nope"})


def test_a_kept_page_that_changes_is_refused(tmp_path: Path) -> None:
    with page_server(by_page) as server:
        paging = Paging("page", "page")
        source = open_source(server, tmp_path, paging=paging)
        first, *_ = source.plan()
        (page,) = tmp_path.glob("pages/*/00000001.json")
        page.write_bytes(page.read_bytes().replace(b"5", b"6"))

        with pytest.raises(JobInputError, match=r"00000001.json: not as it was kept"):
            list(source.read(first, MANY, MANY))


def test_no_items_no_splits(tmp_path: Path) -> None:
    with page_server(lambda _: Answer({"data": []})) as server:
        assert list(open_source(server, tmp_path, paging=Paging("page", "p")).plan()) == []


@pytest.mark.parametrize(
    ("paging", "text"),
    [
        (Paging("page"), "paging.parameter: missing"),
        (Paging("cursor", "c"), "paging.pointer: missing"),
        (Paging("next", pointer="next"), "paging.pointer: expected a JSON pointer"),
    ],
)
def test_paging_that_cannot_work(tmp_path: Path, paging: Paging, text: str) -> None:
    with page_server(by_page) as server, pytest.raises(ConfigError, match=text):
        open_source(server, tmp_path, paging=paging)
