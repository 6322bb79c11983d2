"""Files of an output: their formats, their bytes, and when they can be seen."""

from __future__ import annotations

import base64
import bz2
import gzip
import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest

from penstock.core.errors import ConfigError, JobOutputError
from penstock.jobs.batch.sink import Receipt
from penstock.jobs.batch.sinks import file_sink
from penstock.jobs.batch.sinks.file_sink import FileSink, open_file_sink
from penstock.jobs.batch.spec_outputs import CsvOutput, JsonLinesOutput, ParquetOutput

SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("label", pa.string()),
        ("scores", pa.list_(pa.float32(), 2)),
        ("raw", pa.binary()),
        ("at", pa.timestamp("ns")),
        ("half", pa.float16()),
    ]
)
FORMATS = [
    *(ParquetOutput(path="out", compression=name) for name in ("zstd", "snappy", "gzip", "none")),
    *(CsvOutput(path="out", compression=name) for name in ("none", "gzip", "bz2", "zstd")),
    *(JsonLinesOutput(path="out", compression=name) for name in ("none", "gzip", "bz2", "zstd")),
]


def rows(start: int, stop: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(
        [
            {
                "id": number,
                "label": None if number % 7 == 3 else f'é\n"{number % 5}"',
                "scores": [number / 3, math.nan],
                "raw": bytes([number % 256, 255]),
                "at": (1_767_225_600 + number) * 10**9,
                "half": number % 8 / 8,
            }
            for number in range(start, stop)
        ],
        schema=SCHEMA,
    )


def write(sink: FileSink, split: str, *batches: pa.RecordBatch) -> Receipt:
    part = sink.open(split, SCHEMA)
    for batch in batches:
        part.write(batch)
    return part.commit()


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "out"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def plain(receipt: Receipt) -> Receipt:
    """Without its time."""
    return msgspec.structs.replace(receipt, mtime_ns=0)


def test_a_part_as_it_was_written_is_not_read_again(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = open_file_sink(ParquetOutput(path="out"))
    sink.begin()
    receipt = write(sink, "a", rows(0, 1000))
    (part,) = out.glob("part-*")
    content = part.read_bytes()
    reads: list[object] = []
    digest = hashlib.file_digest

    def count(*args: Any) -> Any:
        reads.append(args)
        return digest(*args)

    monkeypatch.setattr(hashlib, "file_digest", count)
    assert sink.holds("a", receipt)
    assert reads == []

    os.utime(part, ns=(1, 1))
    assert sink.holds("a", receipt)  # copied, or brought back: its bytes are looked at
    assert len(reads) == 1
    assert sink.holds("a", plain(receipt))  # of a journal that has no times
    assert len(reads) == 2

    part.write_bytes(bytes([*content[:-1], content[-1] ^ 1]))
    assert not sink.holds("a", receipt)
    part.write_bytes(content[:-1])
    assert not sink.holds("a", receipt)
    assert len(reads) == 3
    part.unlink()
    assert not sink.holds("a", receipt)


@pytest.mark.parametrize("spec", FORMATS)
def test_the_same_rows_are_the_same_bytes(
    spec: Any, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_sink, "GROUP_ROWS", 100)
    sink = open_file_sink(spec)
    sink.begin()
    whole = write(sink, "a", rows(0, 1000))
    pieces = write(sink, "b", rows(0, 0), rows(0, 3), rows(3, 333), rows(333, 1000))
    again = write(sink, "a", rows(0, 1000))
    assert plain(whole) == plain(pieces) == plain(again)
    one, other = sorted(out.glob("part-*"))
    content = one.read_bytes()
    assert content == other.read_bytes()
    assert plain(whole) == Receipt(1000, len(content), hashlib.sha256(content).hexdigest())
    if spec.compression == "gzip" and not isinstance(spec, ParquetOutput):
        assert content[4:8] == b"\0\0\0\0"  # no time


def test_parquet(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_sink, "GROUP_ROWS", 4)
    sink = open_file_sink(ParquetOutput(path="out"))
    write(sink, "ab", rows(0, 6), rows(6, 9))
    with pq.ParquetFile(out / "part-ab.parquet") as file:
        assert [file.metadata.row_group(at).num_rows for at in range(3)] == [4, 4, 1]
        first = file.metadata.row_group(0)
        assert first.column(0).compression == "ZSTD"
        assert [first.column(at).has_dictionary_page for at in range(3)] == [False, True, False]
        told = file.read()
    assert told.schema == SCHEMA
    assert repr(told.to_pylist()) == repr(rows(0, 9).to_pylist())


@pytest.mark.parametrize(
    ("compression", "unpack"),
    [
        ("none", bytes),
        ("gzip", gzip.decompress),
        ("bz2", bz2.decompress),
        ("zstd", lambda data: pa.input_stream(pa.py_buffer(data), compression="zstd").read()),
    ],
)
def test_json_lines(compression: Any, unpack: Any, out: Path) -> None:
    write(open_file_sink(JsonLinesOutput(path="out", compression=compression)), "ab", rows(0, 4))
    (path,) = out.glob("part-ab.jsonl*")
    lines = unpack(path.read_bytes()).decode().splitlines()
    assert len(lines) == 4
    assert json.loads(lines[1]) == {
        "id": 1,
        "label": 'é\n"1"',
        "scores": [0.3333333432674408, None],
        "raw": base64.b64encode(b"\x01\xff").decode(),
        "at": "2026-01-01 00:00:01.000000000",
        "half": 0.125,
    }
    assert json.loads(lines[3])["label"] is None


def test_csv(out: Path) -> None:
    write(
        open_file_sink(CsvOutput(path="out", delimiter=";", compression="gzip")), "ab", rows(0, 4)
    )
    data = gzip.decompress((out / "part-ab.csv.gz").read_bytes())
    assert data.startswith(b'"id";"label";"scores";"raw";"at";"half"\n0;"')
    table = pcsv.read_csv(
        pa.py_buffer(data),
        parse_options=pcsv.ParseOptions(delimiter=";", newlines_in_values=True),
        convert_options=pcsv.ConvertOptions(
            strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    )
    assert table.column("id").to_pylist() == [0, 1, 2, 3]
    assert table.column("label").to_pylist() == ['é\n"0"', 'é\n"1"', 'é\n"2"', None]
    assert json.loads(table.column("scores")[2].as_py()) == [0.6666666865348816, None]
    assert base64.b64decode(table.column("raw")[3].as_py()) == b"\x03\xff"
    assert table.column("half").to_pylist() == [0, 0.125, 0.25, 0.375]


def test_rows_that_a_format_cannot_hold(out: Path) -> None:
    schema = pa.schema([("d", pa.month_day_nano_interval())])
    part = open_file_sink(CsvOutput(path="out")).open("a", schema)
    part.write(pa.RecordBatch.from_arrays([pa.array([(1, 2, 3)], schema.types[0])], schema=schema))
    with pytest.raises(JobOutputError, match="csv cannot hold these columns: Unsupported cast"):
        part.commit()
    part.abort()
    assert names(out) == ["_tmp"]


def test_text_that_is_no_utf8_is_the_outputs_error(out: Path) -> None:
    batch = pa.RecordBatch.from_arrays([pa.array([b"\xff"]).view(pa.string())], ["text"])
    part = open_file_sink(JsonLinesOutput(path=str(out))).open("s1", batch.schema)
    told = "jsonl cannot hold these columns: 'utf-8' codec .*; cast them in the transform"
    part.write(batch)
    with pytest.raises(JobOutputError, match=told):
        part.commit()
    part.abort()


def test_views_of_text_and_bytes(out: Path) -> None:
    schema = pa.schema([("t", pa.string_view()), ("b", pa.binary_view())])
    batch = pa.RecordBatch.from_pylist([{"t": "é", "b": b"\xff"}], schema=schema)
    for spec in (CsvOutput(path="out"), JsonLinesOutput(path="out")):
        part = open_file_sink(spec).open("a", schema)
        part.write(batch)
        part.commit()
    assert (out / "part-a.csv").read_text() == '"t","b"\n"é","/w=="\n'
    assert (out / "part-a.jsonl").read_text() == '{"t":"é","b":"/w=="}\n'


def test_csv_without_its_header(out: Path) -> None:
    write(open_file_sink(CsvOutput(path="out", header=False)), "ab", rows(0, 1))
    assert (out / "part-ab.csv").read_bytes().startswith(b"0,")


@pytest.mark.parametrize("spec", FORMATS)
def test_a_part_without_rows(spec: Any, out: Path) -> None:
    sink = open_file_sink(spec)
    receipt = write(sink, "a")
    assert receipt.rows == 0
    assert sink.holds("a", receipt)
    if isinstance(spec, ParquetOutput):
        assert pq.read_table(out / "part-a.parquet").schema == SCHEMA


def test_a_part_is_there_as_a_whole_or_not_at_all(out: Path) -> None:
    sink = open_file_sink(ParquetOutput(path="out"))
    sink.begin()
    part = sink.open("a", SCHEMA)
    part.write(rows(0, 10))
    assert names(out) == ["_tmp"]
    part.commit()
    assert names(out) == ["_tmp", "part-a.parquet"]
    assert not names(out / "_tmp")
    sink.finish(b"{}")
    assert names(out) == ["_SUCCESS", "part-a.parquet"]
    assert (out / "_SUCCESS").read_bytes() == b"{}"


@pytest.mark.parametrize("spec", FORMATS)
def test_an_aborted_part_leaves_nothing(spec: Any, out: Path) -> None:
    sink = open_file_sink(spec)
    part = sink.open("a", SCHEMA)
    part.write(rows(0, 10))
    part.abort()
    part.abort()
    assert names(out) == ["_tmp"]
    assert not names(out / "_tmp")


def test_to_begin_removes_what_dead_writers_left_and_nothing_else(out: Path) -> None:
    sink = open_file_sink(CsvOutput(path="out"))
    sink.begin()
    receipt = write(sink, "a", rows(0, 3))
    sink.finish(b"done")
    dead = sink.open("b", SCHEMA)
    dead.write(rows(0, 3))
    assert names(out / "_tmp")
    sink.begin()
    assert names(out) == ["part-a.csv"]
    assert sink.holds("a", receipt)
    dead.abort()


def test_a_part_that_is_not_as_it_was(out: Path) -> None:
    sink = open_file_sink(JsonLinesOutput(path="out"))
    receipt = write(sink, "a", rows(0, 3))
    assert sink.holds("a", receipt)
    assert not sink.holds("b", receipt)
    path = out / "part-a.jsonl"
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"id":1', b'"id":7'))
    assert not sink.holds("a", receipt)
    path.write_bytes(content[:-1])
    assert not sink.holds("a", receipt)


def test_a_file_url_is_a_folder(tmp_path: Path) -> None:
    write(open_file_sink(CsvOutput(path=f"file://{tmp_path}/out")), "a", rows(0, 1))
    assert names(tmp_path / "out") == ["_tmp", "part-a.csv"]


def test_columns_that_a_format_cannot_hold(out: Path) -> None:
    schema = pa.schema([("u", pa.dense_union([pa.field("a", pa.int8())]))])
    with pytest.raises(JobOutputError, match="parquet cannot hold these columns") as caught:
        open_file_sink(ParquetOutput(path="out")).open("a", schema)
    assert not caught.value.retryable
    assert not names(out / "_tmp")


@pytest.mark.parametrize("delimiter", ["", ";;", "é"])
def test_a_delimiter_is_one_character(delimiter: str) -> None:
    with pytest.raises(ConfigError, match=r"output\.delimiter: expected one ASCII character"):
        open_file_sink(CsvOutput(path="out", delimiter=delimiter))


def test_an_output_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    sink = open_file_sink(CsvOutput(path=str(tmp_path / "out")))
    for work in (sink.begin, lambda: sink.open("a", SCHEMA)):
        with pytest.raises(JobOutputError, match=r"out.*: cannot be written: ") as caught:
            work()
        assert not caught.value.retryable
