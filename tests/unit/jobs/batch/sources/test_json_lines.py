"""JSON Lines: types, nesting, bad rows."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from penstock.core.errors import ConfigError, JobInputError
from penstock.jobs.batch.spec_inputs import JsonLinesInput

from .reading import opened, read_all


def write(folder: Path, text: str | bytes, name: str = "a.jsonl") -> str:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


class TestTypes:
    def test_are_told_by_the_first_rows(self, tmp_path: Path) -> None:
        path = write(
            tmp_path,
            '{"i": 1, "f": 1, "s": "x", "n": null, "l": [1, 2.5], "o": {"t": "2026-01-01"}}\n'
            '{"i": 2, "f": 1.5, "d": "2026-01-01"}\n',
        )
        source = opened(JsonLinesInput(path=path))
        assert source.schema() == pa.schema(
            [
                ("i", pa.int64()),
                ("f", pa.float64()),
                ("s", pa.string()),
                ("n", pa.string()),
                ("l", pa.list_(pa.float64())),
                ("o", pa.struct([("t", pa.string())])),
                ("d", pa.string()),
            ]
        )
        assert read_all(source).good[1]["d"] == "2026-01-01"

    def test_a_job_tells_them_better(self, tmp_path: Path) -> None:
        path = write(tmp_path, '{"v": [1, 2], "t": "2026-01-01T00:00:00"}\n')
        types = {"v": "list<float32>", "t": "timestamp[ms]", "late": "int8"}
        schema = opened(JsonLinesInput(path=path, types=types)).schema()
        assert schema.field("v").type == pa.list_(pa.float32())
        assert schema.field("t").type == pa.timestamp("ms")
        assert schema.field("late").type == pa.int8()

    def test_of_values_that_contradict_each_other_the_first_counts(self, tmp_path: Path) -> None:
        path = write(tmp_path, '{"a": 1}\n{"a": "x"}\nnonsense\n{"a": 2.5, "b": 1}\n')
        found = read_all(opened(JsonLinesInput(path=path)))
        assert found.marked == [
            {"a": 1.0, "b": None},
            b'{"a": "x"}',
            b"nonsense",
            {"a": 2.5, "b": 1},
        ]

    def test_nothing_tells_them(self, tmp_path: Path) -> None:
        source = opened(JsonLinesInput(path=write(tmp_path, "nonsense\n")))
        with pytest.raises(JobInputError, match=r"a\.jsonl.*none of its first lines is a JSON obj"):
            source.schema()

    def test_columns_that_a_line_lacks_or_has_besides(self, tmp_path: Path) -> None:
        path = write(tmp_path, '{"a": 1}\n{"c": 3}\n')
        source = opened(JsonLinesInput(path=path, infer_rows=1))
        assert read_all(source).good == [{"a": 1}, {"a": None}]

    def test_one_that_is_not_known(self) -> None:
        with pytest.raises(ConfigError, match=r"types\.x: unknown type .text."):
            opened(JsonLinesInput(path="a", types={"x": "text"}))


BAD_LINES = [
    b'{"a": ',
    b"null",
    b"[1]",
    b"5",
    b'{"a": 1}{"a": 2}',
    b'{"a": 1}null{"a": 2}',
    b'{"a": 1, "a": 2}',
    b'{"a": "x"}',
    b'{"a": 1.5}',
    b'{"a": 1, "s": "\xff"}',
    b'{"a": 1, "s": "\\ud800"}',
    b'{"a": 99999999999999999999}',
    b'   {"a": nope}',
]


class TestBadRows:
    @pytest.mark.parametrize("line", BAD_LINES)
    @pytest.mark.parametrize("position", [0, 1, 2])
    def test_each_with_what_was_read(self, tmp_path: Path, line: bytes, position: int) -> None:
        lines = [b'{"a": 1, "s": "x"}', b'{"a": 2, "s": "y"}']
        lines.insert(position, line)
        path = write(tmp_path, b"\n".join(lines))
        found = read_all(opened(JsonLinesInput(path=path, types={"a": "int64", "s": "string"})))
        assert found.good == [{"a": 1, "s": "x"}, {"a": 2, "s": "y"}]
        assert found.marked[position] == line
        assert "cannot be read" in found.bad[0].error.message

    def test_an_object_over_several_lines_is_none(self, tmp_path: Path) -> None:
        lines = [b'{"o":', b"{}}", b'{"a": 1}{"a": 2}']
        path = write(tmp_path, b"\n".join(lines))
        found = read_all(opened(JsonLinesInput(path=path, types={"a": "int64"})))
        assert found.marked == lines

    def test_nothing_but_null(self, tmp_path: Path) -> None:
        path = write(tmp_path, "null\nnull\n")
        found = read_all(opened(JsonLinesInput(path=path, types={"a": "int64"})))
        assert found.marked == [b"null", b"null"]

    def test_nested_beyond_measure(self, tmp_path: Path) -> None:
        deep = '{"a": 1, "d": ' + "[" * 100_000 + "]" * 100_000 + "}"
        path = write(tmp_path, f'{deep}\n{{"a": 2}}\n')
        source = opened(JsonLinesInput(path=path))
        assert source.schema() == pa.schema([("a", pa.int64())])
        assert [one["a"] for one in read_all(source).good] == [1, 2]

    def test_white_space_around_is_none(self, tmp_path: Path) -> None:
        path = write(tmp_path, '  {"a": 1} \r\n\r\n\t{"a": 2}\r\n')
        assert read_all(opened(JsonLinesInput(path=path))).good == [{"a": 1}, {"a": 2}]


def test_a_column_of_another_type_in_a_later_file_is_bad_rows(tmp_path: Path) -> None:
    write(tmp_path, '{"a": 1}\n', "1.jsonl")
    write(tmp_path, '{"a": "x"}\n', "2.jsonl")
    found = read_all(opened(JsonLinesInput(path=str(tmp_path))))
    assert found.marked == [{"a": 1}, b'{"a": "x"}']
