"""Laws of file sources: every record once and in order, wherever files are cut."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from penstock.jobs.batch.sources.record_blocks import LineCutter, QuotedCutter, RecordBlocks
from penstock.jobs.batch.spec_inputs import (
    ArrowInput,
    CsvInput,
    FileInput,
    JsonLinesInput,
    ParquetInput,
    TextInput,
)
from tests.unit.jobs.batch.sources.reading import opened, read_all, read_splits

IN_A_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
CUTS = st.sets(st.integers(1, 200))


def ranges(size: int, cuts: set[int]) -> list[tuple[int, int]]:
    """Ranges without gaps between the cuts that are within the size."""
    edges = sorted({0, size, *(cut for cut in cuts if cut < size)})
    return list(itertools.pairwise(edges))


def _lines(data: bytes) -> list[bytes]:
    parts = [part + b"\n" for part in data.split(b"\n")]
    return [part for part in [*parts[:-1], parts[-1][:-1]] if part]


@given(
    st.lists(st.sampled_from([b"", b"a", b"bb", b"\r", b"c" * 9, b"d" * 40, b"\xff"]), max_size=12),
    st.booleans(),
    CUTS,
    st.integers(1, 64),
    st.integers(8, 64),
)
def test_lines_of_ranges_are_the_lines_of_the_file(
    lines: list[bytes], is_ended: bool, cuts: set[int], block_bytes: int, max_bytes: int
) -> None:
    data = b"\n".join(lines) + (b"\n" if is_ended else b"")
    found: list[bytes] = []
    for start, stop in ranges(len(data), cuts):
        blocks = RecordBlocks(io.BytesIO(data), LineCutter(), block_bytes, max_bytes)
        for block in blocks.blocks(start, stop):
            found += [b"long"] if block.is_too_long else _lines(block.data)
    assert found == [b"long" if len(line) > max_bytes else line for line in _lines(data)]


@given(st.binary(max_size=60), st.integers(1, 64), st.integers(8, 64))
def test_quoted_records_do_not_depend_on_what_is_read_at_once(
    noise: bytes, block_bytes: int, max_bytes: int
) -> None:
    data = bytes(b'"\na,'[byte % 4] for byte in noise)
    cutter = QuotedCutter('"')
    found: list[bytes] = []
    for block in RecordBlocks(io.BytesIO(data), cutter, block_bytes, max_bytes).blocks(0, None):
        ends = [0, *cutter.ends(block.data).tolist(), len(block.data)]
        cut = [block.data[a:b] for a, b in itertools.pairwise(ends) if a < b]
        found += [b"long"] if block.is_too_long else cut
    expected: list[bytes] = []
    record = b""
    for byte in data:
        record += bytes([byte])
        if byte == ord("\n") and record.count(b'"') % 2 == 0:
            expected.append(record)
            record = b""
    expected += [record] if record else []
    assert found == [b"long" if len(one) > max_bytes else one for one in expected]


CSV_LINES = [b"1,x", b"2,", b'3,"y,z"', b'"4",w', b"5", b'6,"open', b'7,a"b', b"no,x", b"8,\xff"]
CSV_LINES += [b"", b"\r", b"9,u\r", b"1,2,3", b'10,"a""b"', b"11,p\rq", b'12,"a" b"']
JSON_LINES = [
    b'{"a": 1, "b": "x"}',
    b'{"a": 2}',
    b'{"b": "\\u00e9"}',
    b' {"a": 3}\r',
    b'{"a": "x"}',
]
JSON_LINES += [b"null", b"{", b'{"a":', b"1}", b'{"a": 1}{"a": 2}', b'{"b": "\xff"}', b"", b"{}"]
TEXT_LINES = [b"1 x", b"22 y", b"n y", b"3 \xc3\xa9\r", b"", b"4 \xff", b"1 2 3", b" "]

FORMATS: dict[str, tuple[list[bytes], Any, bytes]] = {
    "csv": (
        CSV_LINES,
        lambda path: CsvInput(path=path, types={"a": "int64", "b": "string"}),
        b"a,b",
    ),
    "jsonl": (
        JSON_LINES,
        lambda path: JsonLinesInput(path=path, types={"a": "int64", "b": "string"}),
        b'{"a": 0, "b": ""}',
    ),
    "text": (
        TEXT_LINES,
        lambda path: TextInput(path=path, pattern=r"^(?P<a>\S+) (?P<b>.)", types={"a": "int64"}),
        b"0 0",
    ),
}

FILES = st.sampled_from(sorted(FORMATS)).flatmap(
    lambda name: st.tuples(st.just(name), st.lists(st.sampled_from(FORMATS[name][0]), max_size=12))
)


@IN_A_FOLDER
@given(FILES, st.booleans(), st.integers(1, 9), st.integers(1, 9), st.integers(1, 300))
@example(("csv", [b'6,"open', b'7,a"b']), True, 9, 9, 300)
def test_rows_of_text_do_not_depend_on_splits_or_pieces(
    tmp_path: Path,
    file: tuple[str, list[bytes]],
    is_ended: bool,
    split_rows: int,
    max_rows: int,
    max_bytes: int,
) -> None:
    name, lines = file
    _, spec, first = FORMATS[name]
    path = tmp_path / "file"
    path.write_bytes(b"\n".join([first, *lines]) + (b"\n" if is_ended else b""))
    cut = read_all(opened(spec(str(path)), split_rows), max_rows, max_bytes)
    one_by_one = read_all(opened(spec(str(path)), 1000), 1)
    assert cut.marked == one_by_one.marked
    filled = [line.strip(b"\r") for line in lines if line.strip(b"\r")]
    assert len(cut.marked) == len(filled) + (name != "csv")
    for line, row in zip(reversed(filled), reversed(cut.marked), strict=False):
        assert not isinstance(row, bytes) or row == line


@IN_A_FOLDER
@given(st.sampled_from(["csv", "text"]), CUTS, st.integers(1, 5))
def test_rows_of_text_are_there_once_for_any_cut(
    tmp_path: Path, name: str, cuts: set[int], max_rows: int
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a,b\r\n" + b"".join(b"%d,%s\r\n" % (n, b"x" * (n % 5)) for n in range(25)))
    path_spec: FileInput = CsvInput(path=str(path)) if name == "csv" else TextInput(path=str(path))
    source = opened(path_spec)
    (whole,) = source.plan()
    parts = [
        whole.__class__(whole.source, whole.fingerprint, start, stop)
        for start, stop in ranges(path.stat().st_size, cuts)
    ]
    assert read_splits(source, parts, max_rows).good == read_all(source).good
    assert len(read_splits(source, parts, max_rows).good) == 25 + (name == "text")


TABLES = st.lists(st.none() | st.text("ab", max_size=5), min_size=1, max_size=40)


@IN_A_FOLDER
@given(TABLES, st.integers(1, 40), st.integers(1, 20), st.integers(1, 9), st.integers(1, 500))
def test_rows_of_tables_do_not_depend_on_splits_or_pieces(
    tmp_path: Path,
    values: list[str | None],
    group_rows: int,
    split_rows: int,
    max_rows: int,
    max_bytes: int,
) -> None:
    table = pa.table({"n": range(len(values)), "x": pa.array(values, pa.string())})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=group_rows)
    with pa.ipc.new_file(str(tmp_path / "a.arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=group_rows)
    for spec in (
        ParquetInput(path=str(tmp_path / "a.parquet")),
        ArrowInput(path=str(tmp_path / "a.arrow")),
    ):
        source = opened(spec, split_rows)
        assert read_all(source, max_rows, max_bytes).good == table.to_pylist()
