"""Lines of text and patterns."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from penstock.core.errors import ConfigError
from penstock.jobs.batch.spec_inputs import TextInput

from .reading import opened, read_all

PATTERN = r"^(?P<host>\S+) .*\"(?P<verb>[A-Z]+) [^\"]*\" (?P<status>\d+|-)"


def write(folder: Path, content: bytes) -> str:
    path = folder / "access.log"
    path.write_bytes(content)
    return str(path)


def test_a_line_is_a_row(tmp_path: Path) -> None:
    found = read_all(opened(TextInput(path=write(tmp_path, b"one\r\n\ntwo \n\xff\nthree"))))
    assert found.marked == [{"line": "one"}, {"line": "two "}, b"\xff", {"line": "three"}]


def test_an_empty_line_is_no_row(tmp_path: Path) -> None:
    for content in (b"\na\n\n\nb\n", b"a\r\n\r\nb\r\n\r", b"\r\na\nb\n\n"):
        found = read_all(opened(TextInput(path=write(tmp_path, content))))
        assert found.good == [{"line": "a"}, {"line": "b"}]


def test_a_pattern_makes_columns(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        b'10.0.0.1 - "GET /a" 200\nnonsense\n10.0.0.2 - "PUT /b" -\r\n10.0.0.3 x "GET /c" 404\r\n',
    )
    source = opened(TextInput(path=path, pattern=PATTERN, types={"status": "int16"}))
    kinds = [("host", pa.string()), ("verb", pa.string()), ("status", pa.int16())]
    assert source.schema() == pa.schema(kinds)
    found = read_all(source)
    assert found.marked == [
        {"host": "10.0.0.1", "verb": "GET", "status": 200},
        b"nonsense",
        b'10.0.0.2 - "PUT /b" -',
        {"host": "10.0.0.3", "verb": "GET", "status": 404},
    ]
    assert "the pattern is not in this line" in found.bad[0].error.message
    assert read_all(source.only(["verb"])).good == [
        {"verb": "GET"},
        {"verb": "PUT"},
        {"verb": "GET"},
    ]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(?P<a>", "pattern: not a pattern of RE2"),
        ("(?=x)(?P<a>x)", "pattern: not a pattern of RE2"),
        ("(a)(?P<b>c)", "pattern: not a pattern of RE2 with named groups"),
        ("abc", "pattern: no named group in it"),
    ],
)
def test_a_pattern_that_is_none(pattern: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        opened(TextInput(path="a", pattern=pattern))


def test_a_type_of_a_column_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match=r"types\.lin: no such column, did you mean 'line'"):
        opened(TextInput(path="a", types={"lin": "int64"}))


def test_a_line_of_100_mb_is_a_bad_row_and_the_rest_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, b"first\n" + b"x" * 100_000_000 + b"\nlast\n")
    found = read_all(opened(TextInput(path=path), 1_000_000))
    assert found.marked == [{"line": "first"}, b"x" * 65536, {"line": "last"}]
