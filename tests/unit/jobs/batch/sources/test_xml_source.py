"""XML: rows, paths, what is refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from penstock.core.errors import ConfigError, JobInputError
from penstock.jobs.batch.sources.xml_source import XmlSource
from penstock.jobs.batch.spec_inputs import XmlInput

from .reading import opened, read_all

BOOKS = """<?xml version="1.0"?>
<library xmlns="http://example.org/books"><!-- all of them -->
  <shelf><book id="1"><title>One</title><author born="1900"><name>A</name></author>
    <year>1950</year></book></shelf>
  <book id="2"><title>Two &amp; more</title><year>nineteen</year></book>
  <book id="3" lang="en"><year>1970</year><title/></book>
</library>
"""


def write(folder: Path, content: str | bytes, name: str = "a.xml") -> str:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def test_attributes_and_children_are_columns(tmp_path: Path) -> None:
    path = write(tmp_path, BOOKS)
    found = read_all(opened(XmlInput(path=path, row="book")))
    one = {"id": "1", "title": "One", "author": None, "year": "1950", "lang": None}
    two = {"id": "2", "title": "Two & more", "author": None, "year": "nineteen", "lang": None}
    three = {"id": "3", "title": None, "author": None, "year": "1970", "lang": "en"}
    assert found.good == [one, two, three]


def test_paths_types_and_bad_rows(tmp_path: Path) -> None:
    columns = {"id": "@id", "born": "author/@born", "by": "author/name", "year": "year"}
    types = {"year": "int16", "born": "int16"}
    spec = XmlInput(path=write(tmp_path, BOOKS), row="book", columns=columns, types=types)
    source = opened(spec)
    found = read_all(source)
    assert found.good == [
        {"id": "1", "born": 1900, "by": "A", "year": 1950},
        {"id": "3", "born": None, "by": None, "year": 1970},
    ]
    assert b"<year>nineteen</year>" in found.bad[0].raw.replace(b"ns0:", b"")
    assert "nineteen" in found.bad[0].error.message
    assert read_all(source.only(["by"])).good == [{"by": "A"}, {"by": None}, {"by": None}]


def test_the_text_of_the_row_itself(tmp_path: Path) -> None:
    path = write(tmp_path, "<a><b>x</b><b>y</b></a>")
    found = read_all(opened(XmlInput(path=path, row="b", columns={"text": "."})))
    assert found.good == [{"text": "x"}, {"text": "y"}]


def test_packed_and_in_another_encoding(tmp_path: Path) -> None:
    text = '<?xml version="1.0" encoding="latin-1"?><a><b c="é"/></a>'
    path = write(tmp_path, gzip.compress(text.encode("latin-1")), "a.xml.gz")
    assert read_all(opened(XmlInput(path=path, row="b"))).good == [{"c": "é"}]


@pytest.mark.parametrize(
    "content",
    [
        '<!DOCTYPE a [<!ENTITY e "x">]><a><b>&e;</b></a>',
        '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a><b>&e;</b></a>',
        '<!DOCTYPE a SYSTEM "http://example.org/a.dtd"><a><b/></a>',
        '<!DOCTYPE a [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]><a><b/></a>',
    ],
)
def test_entities_are_refused(tmp_path: Path, content: str) -> None:
    source = opened(XmlInput(path=write(tmp_path, content), row="b", columns={"t": "."}))
    with pytest.raises(JobInputError, match=r"a\.xml: document types and entities are refused"):
        read_all(source)


@pytest.mark.parametrize("content", [BOOKS[:-20], "<a><b></a>", "no xml", "<a/><a/>"])
def test_what_is_not_well_formed(tmp_path: Path, content: str) -> None:
    source = opened(XmlInput(path=write(tmp_path, content), row="book", columns={"id": "@id"}))
    with pytest.raises(JobInputError, match=r"a\.xml: is damaged"):
        read_all(source)


def test_no_row_in_it(tmp_path: Path) -> None:
    path = write(tmp_path, "<a/>")
    assert read_all(opened(XmlInput(path=path, row="b", columns={"c": "@c"}))).marked == []
    with pytest.raises(JobInputError, match="every file is empty"):
        opened(XmlInput(path=path, row="b")).schema()


def test_a_row_without_end(tmp_path: Path) -> None:
    path = write(tmp_path, "<a><b>1</b><b>" + "x" * 1_000_000 + "</b></a>")
    source = opened(XmlInput(path=path, row="b", columns={"t": "."}, max_row_bytes=100_000))
    with pytest.raises(JobInputError, match="a row is longer than 100000 bytes"):
        read_all(source)


def test_many_rows_are_read_in_little_memory(tmp_path: Path) -> None:
    import tracemalloc

    path = write(tmp_path, "<a>" + "<b><c>12345678</c></b>\n" * 50_000 + "</a>")
    source = opened(XmlInput(path=path, row="b", columns={"c": "c"}, types={"c": "int64"}))
    (split,) = source.plan()
    tracemalloc.start()
    rows = sum(piece.num_rows for piece in source.read(split, 1000, 1_000_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rows == 50_000
    assert peak < 8_000_000


def test_long_attributes_count_as_text_does(tmp_path: Path) -> None:
    rows = "".join(f'<row body="{"x" * 4000}"/>' for _ in range(200))
    source = opened(XmlInput(path=write(tmp_path, f"<rows>{rows}</rows>"), row="row"))
    (split,) = source.plan()
    assert isinstance(source, XmlSource)
    with Path(split.source).open("rb") as file:
        runs = list(source._runs(file, split, source.schema(), 40_000))
    assert [run.num_rows for run in runs] == [10] * 20


def test_a_type_of_a_column_that_is_not_told() -> None:
    with pytest.raises(ConfigError, match=r"types\.x: it is not one of the columns"):
        opened(XmlInput(path="a", row="b", columns={"y": "y"}, types={"x": "int8"}))
