"""Parquet: row groups and ranges, columns of other files, damage."""

from __future__ import annotations

import datetime
import itertools
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from penstock.core.errors import ConfigError, JobInputError
from penstock.jobs.batch.spec_inputs import ParquetInput

from .reading import opened, read_all, read_splits


def write(folder: Path, columns: dict[str, Any], name: str = "a.parquet", **how: Any) -> str:
    path = folder / name
    pq.write_table(pa.table(columns), path, **how)
    return str(path)


class TestSplits:
    def test_are_of_whole_row_groups(self, tmp_path: Path) -> None:
        path = write(tmp_path, {"a": range(100)}, row_group_size=10)
        splits = list(opened(ParquetInput(path=path), 25).plan())
        assert [(one.start, one.stop) for one in splits] == [(0, 30), (30, 60), (60, 90), (90, 100)]

    def test_a_huge_row_group_is_cut_into_a_few_ranges(self, tmp_path: Path) -> None:
        path = write(tmp_path, {"a": range(200)}, row_group_size=100)
        source = opened(ParquetInput(path=path), 5)
        splits = list(source.plan())
        cuts = [0, 25, 50, 75, 100, 125, 150, 175, 200]
        assert [(one.start, one.stop) for one in splits] == list(itertools.pairwise(cuts))
        assert read_splits(source, [splits[5]]).good == [{"a": n} for n in range(125, 150)]
        assert read_all(source, max_rows=7).good == [{"a": n} for n in range(200)]

    def test_a_file_without_rows_has_none(self, tmp_path: Path) -> None:
        write(tmp_path, {"a": pa.array([], pa.int64())}, "0.parquet")
        write(tmp_path, {"a": [1]}, "1.parquet")
        source = opened(ParquetInput(path=str(tmp_path)))
        assert [Path(one.source).name for one in source.plan()] == ["1.parquet"]

    def test_large_values_come_in_pieces_of_few_rows(self, tmp_path: Path) -> None:
        values = [b"x" * 100_000] * 50
        source = opened(ParquetInput(path=write(tmp_path, {"a": values})))
        found = read_all(source, max_rows=50, max_bytes=250_000)
        assert found.sizes == [2] * 25

    def test_one_row_of_100_mb_is_a_piece_of_its_own(self, tmp_path: Path) -> None:
        path = write(tmp_path, {"a": ["x", "y" * 100_000_000, "z"]})
        source = opened(ParquetInput(path=path))
        (split,) = source.plan()
        sizes = [(p.num_rows, p.batch.nbytes) for p in source.read(split, 100, 1_000_000)]
        assert [rows for rows, _ in sizes] == [1, 1, 1]
        assert sizes[1][1] > 100_000_000

    def test_a_huge_row_group_is_never_held_as_a_whole(self, tmp_path: Path) -> None:
        values = np.random.default_rng(0).random(4_000_000)
        path = write(tmp_path, {"a": values}, row_group_size=10**9, use_dictionary=False)
        source = opened(ParquetInput(path=path), split_rows=10**9)
        (split,) = source.plan()
        before = pa.total_allocated_bytes()
        rows, most = 0, 0
        tracemalloc.start()
        for piece in source.read(split, 10_000, 1_000_000):
            rows += piece.num_rows
            most = max(most, pa.total_allocated_bytes() - before)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert rows == 4_000_000
        assert most + peak < 12_000_000


class TestColumns:
    def test_only_those_that_are_wanted(self, tmp_path: Path) -> None:
        path = write(tmp_path, {"a": [1], "b": ["x"], "c": [2.5]})
        source = opened(ParquetInput(path=path)).only(["c", "a"])
        assert source.schema() == pa.schema([("a", pa.int64()), ("c", pa.float64())])
        assert read_all(source).good == [{"a": 1, "c": 2.5}]

    def test_one_that_is_not_there(self, tmp_path: Path) -> None:
        source = opened(ParquetInput(path=write(tmp_path, {"text": ["x"]})))
        with pytest.raises(
            JobInputError, match=r"a\.parquet: no column 'txt'; did you mean 'text'"
        ):
            source.only(["txt"])
        with pytest.raises(ConfigError, match="no column of it is asked for"):
            source.only([])

    def test_one_that_nobody_wants_is_not_read(self, tmp_path: Path) -> None:
        plain = {"use_dictionary": False, "compression": "none", "row_group_size": 10}
        path = Path(write(tmp_path, {"a": [1, 2], "b": ["first", "second"]}, **plain))
        content = path.read_bytes()
        at = content.index(b"\x05\x00\x00\x00first")
        path.write_bytes(content[:at] + b"\xff\xff\xff\x7f" + content[at + 4 :])
        source = opened(ParquetInput(path=str(path)))
        assert read_all(source.only(["a"])).good == [{"a": 1}, {"a": 2}]
        with pytest.raises(JobInputError, match=r"a\.parquet: is damaged"):
            read_all(source)

    def test_dictionaries_are_their_values(self, tmp_path: Path) -> None:
        values = pa.array(["x", "y", "x"]).dictionary_encode()
        source = opened(ParquetInput(path=write(tmp_path, {"a": values})))
        assert source.schema() == pa.schema([("a", pa.string())])
        assert [one["a"] for one in read_all(source).good] == ["x", "y", "x"]

    def test_missing_in_the_37th_file(self, tmp_path: Path) -> None:
        for number in range(38):
            columns = {"a": [number]} if number == 36 else {"a": [number], "b": ["x"]}
            write(tmp_path, columns, f"{number:02}.parquet")
        source = opened(ParquetInput(path=f"{tmp_path}/*.parquet"))
        splits = list(source.plan())
        with pytest.raises(JobInputError, match=r"36\.parquet: column 'b' is missing") as caught:
            read_splits(source, [splits[36]])
        assert not caught.value.retryable
        assert len(read_splits(source, splits[:36] + splits[37:]).good) == 37
        assert read_all(source.only(["a"])).good == [{"a": number} for number in range(38)]


FITTING = [
    (pa.int64(), [1], pa.int32(), [2], 2),
    (pa.int32(), [1], pa.int64(), [2], 2),
    (pa.int64(), [1], pa.float64(), [2.0], 2),
    (pa.float64(), [1.5], pa.int64(), [2], 2.0),
    (pa.float64(), [1.5], pa.float32(), [2.5], 2.5),
    (pa.string(), ["x"], pa.large_string(), ["y"], "y"),
    (pa.string(), ["x"], pa.null(), [None], None),
    (pa.list_(pa.float64()), [[1.0]], pa.list_(pa.float32(), 1), [[2.0]], [2.0]),
    (
        pa.timestamp("us"),
        [datetime.datetime(2026, 1, 1)],  # noqa: DTZ001
        pa.date32(),
        [datetime.date(2026, 1, 2)],
        datetime.datetime(2026, 1, 2),  # noqa: DTZ001
    ),
]

MISFITS = [
    (pa.int64(), [1], pa.string(), ["2"], "expected int64 as in the first file, got string"),
    (pa.string(), ["x"], pa.int64(), [2], "expected string as in the first file, got int64"),
    (pa.bool_(), [True], pa.int64(), [1], "expected bool as in the first file, got int64"),
    (pa.int8(), [1], pa.int64(), [300], "int64 does not become int8.*300"),
    (pa.int64(), [1], pa.float64(), [2.5], "double does not become int64.*2.5"),
    (pa.list_(pa.int64()), [[1]], pa.int64(), [1], "expected list<.*> as in the first file"),
]


class TestTypesOfLaterFiles:
    @pytest.mark.parametrize(("first", "one", "other", "two", "expected"), FITTING)
    def test_one_that_fits_is_cast(
        self, tmp_path: Path, first: Any, one: Any, other: Any, two: Any, expected: Any
    ) -> None:
        write(tmp_path, {"a": pa.array(one, first)}, "1.parquet")
        write(tmp_path, {"a": pa.array(two, other)}, "2.parquet")
        source = opened(ParquetInput(path=str(tmp_path)))
        assert read_all(source).good[1] == {"a": expected}

    @pytest.mark.parametrize(("first", "one", "other", "two", "message"), MISFITS)
    def test_one_that_does_not_is_named(
        self, tmp_path: Path, first: Any, one: Any, other: Any, two: Any, message: str
    ) -> None:
        write(tmp_path, {"a": pa.array(one, first)}, "1.parquet")
        write(tmp_path, {"a": pa.array(two, other)}, "2.parquet")
        source = opened(ParquetInput(path=str(tmp_path)))
        with pytest.raises(JobInputError, match=rf"2\.parquet: column 'a': {message}"):
            read_all(source)


class TestDamage:
    @pytest.mark.parametrize("kept", [0, 3, 100, -1])
    def test_a_file_that_is_cut_off_fails_when_it_is_read(self, tmp_path: Path, kept: int) -> None:
        write(tmp_path, {"a": [1]}, "1.parquet")
        path = Path(write(tmp_path, {"a": [2]}, "2.parquet"))
        path.write_bytes(path.read_bytes()[:kept])
        source = opened(ParquetInput(path=str(tmp_path)))
        good, cut = source.plan()
        assert read_splits(source, [good]).good == [{"a": 1}]
        with pytest.raises(JobInputError, match=r"2\.parquet: is damaged") as caught:
            read_splits(source, [cut])
        assert not caught.value.retryable

    def test_the_first_file_that_can_be_read_tells_the_columns(self, tmp_path: Path) -> None:
        (tmp_path / "0.parquet").write_bytes(b"no parquet")
        write(tmp_path, {"a": [1]}, "1.parquet")
        assert opened(ParquetInput(path=str(tmp_path))).schema().names == ["a"]
        (tmp_path / "1.parquet").unlink()
        with pytest.raises(JobInputError, match=r"0\.parquet: is damaged"):
            opened(ParquetInput(path=str(tmp_path))).schema()

    def test_pages_that_were_changed(self, tmp_path: Path) -> None:
        plain = {"use_dictionary": False, "compression": "none", "write_page_checksum": True}
        path = Path(write(tmp_path, {"a": pa.array([123456789] * 9)}, **plain))
        content = path.read_bytes()
        two = (123456789).to_bytes(8, "little") * 2
        assert two in content
        path.write_bytes(content.replace(two, b"\1" * 16, 1))
        with pytest.raises(JobInputError, match=r"a\.parquet: is damaged"):
            read_all(opened(ParquetInput(path=str(path))))

    def test_text_that_is_no_utf_8(self, tmp_path: Path) -> None:
        text = pa.array([b"\xff"], pa.binary()).view(pa.string())
        source = opened(ParquetInput(path=write(tmp_path, {"a": text})))
        with pytest.raises(JobInputError, match=r"a\.parquet: is damaged.*UTF8"):
            read_all(source)
