"""Dead letters: what is told of a row, and when it is there."""

from __future__ import annotations

import datetime
import errno
import os
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest

from penstock.core.errors import InvalidArgument, JobOutputError
from penstock.jobs.batch.dead import (
    MAX_RAW_BYTES,
    DeadWriter,
    dead_path,
    forget_unfinished,
    raw_rows,
    read_dead,
)
from penstock.jobs.batch.durable import unwritable
from penstock.jobs.batch.source import BadRow
from penstock.jobs.predictor import ModelIdentity

MODEL = ModelIdentity("tweet", 3, "d")


def writer(state: Path) -> DeadWriter:
    return DeadWriter(state, "s1", "a.csv[0:10]", MODEL)


def bad(row: int, raw: bytes = b"") -> BadRow:
    return BadRow(row, InvalidArgument("no number"), raw)


def test_letters_are_there_as_a_whole_and_only_when_committed(tmp_path: Path) -> None:
    one = writer(tmp_path)
    one.write([bad(1, b"1;x"), bad(4, b"\xff\x00")])
    assert read_dead(tmp_path, "s1") == []
    one.commit()

    first, second = read_dead(tmp_path, "s1")

    assert (first.split, first.row, first.raw) == ("a.csv[0:10]", 1, "1;x")
    assert (first.code, first.message) == ("invalid_argument", "no number")
    assert (first.model, first.version) == ("tweet", 3)
    assert (second.raw, second.raw_base64) == ("", "/wA=")


def test_a_split_without_dead_rows_has_no_file_any_more(tmp_path: Path) -> None:
    one = writer(tmp_path)
    one.write([bad(1)])
    one.commit()
    writer(tmp_path).commit()
    assert not dead_path(tmp_path, "s1").exists()


def test_a_writer_thought_dead_does_not_disturb_its_successor(tmp_path: Path) -> None:
    late, successor = writer(tmp_path), writer(tmp_path)
    late.write([bad(1)])
    successor.write([bad(1), bad(2)])
    late.abort()
    successor.commit()
    assert [letter.row for letter in read_dead(tmp_path, "s1")] == [1, 2]


def test_what_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    one = writer(tmp_path)
    one.write([bad(1)])
    one.abort()
    assert list((tmp_path / "dead").iterdir()) == []
    (tmp_path / "dead" / "s1.jsonl.tmp").write_bytes(b"{")
    forget_unfinished(tmp_path)
    assert list((tmp_path / "dead").iterdir()) == []


def test_a_row_of_100_mb_is_cut(tmp_path: Path) -> None:
    batch = pa.RecordBatch.from_pylist([{"text": "x" * 10**8, "blob": b"y" * 10**6}])
    (raw,) = raw_rows(batch, [0])
    assert len(raw) == MAX_RAW_BYTES
    one = writer(tmp_path)
    one.write([bad(0, raw + b"more")])
    one.commit()
    assert len(read_dead(tmp_path, "s1")[0].raw) == MAX_RAW_BYTES


def test_rows_of_any_type_are_told() -> None:
    row = {"at": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), "n": float("nan"), "b": b"\1"}
    (raw,) = raw_rows(pa.RecordBatch.from_pylist([row]), [0])
    assert msgspec.json.decode(raw) == {"at": "2026-01-02T00:00:00Z", "n": None, "b": "AQ=="}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (pa.array([b"\xff"]).view(pa.string()), {"a": "/w=="}),
        (
            pa.array([2**60], pa.timestamp("s")),
            {"a": "[\n  <value out of range: 1152921504606846976>\n]"},
        ),
        (
            pa.array([2**30], pa.int32()).view(pa.date32()),
            {"a": "[\n  <value out of range: 1073741824>\n]"},
        ),
    ],
)
def test_values_that_python_has_no_place_for_are_told(
    values: pa.Array, told: dict[str, object]
) -> None:
    batch = pa.RecordBatch.from_arrays([values], ["a"])
    assert [msgspec.json.decode(raw) for raw in raw_rows(batch, [0])] == [told]


def test_a_text_cut_within_a_character_is_still_told(tmp_path: Path) -> None:
    one = writer(tmp_path)
    one.write([bad(0, ("ä" * MAX_RAW_BYTES).encode()[1:])])
    one.commit()
    (letter,) = read_dead(tmp_path, "s1")
    assert letter.raw or letter.raw_base64


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = writer(tmp_path)
    one.write([bad(0)])

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(JobOutputError, match="No space left on device; make room"):
        one.commit()
    one.abort()
    assert read_dead(tmp_path, "s1") == []


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_where_nobody_may_write_no_room_is_asked_for(tmp_path: Path, code: int) -> None:
    told = unwritable(tmp_path, OSError(code, os.strerror(code))).message
    assert "let this user write there" in told
    assert "make room" not in told
