"""Arrow IPC: files and streams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from penstock.core.errors import JobInputError
from penstock.jobs.batch.spec_inputs import ArrowInput

from .reading import opened, read_all, read_splits


def write(folder: Path, name: str, batches: list[list[Any]], *, stream: bool = False) -> Path:
    schema = pa.schema([("a", pa.array(batches[0]).type), ("b", pa.string())])
    path = folder / name
    make = pa.ipc.new_stream if stream else pa.ipc.new_file
    with make(str(path), schema) as writer:
        for values in batches:
            writer.write_batch(pa.record_batch([values, ["x"] * len(values)], schema=schema))
    return path


def test_a_split_is_a_range_of_batches(tmp_path: Path) -> None:
    path = write(tmp_path, "a.arrow", [[n * 2, n * 2 + 1] for n in range(5)])
    source = opened(ArrowInput(path=str(path)), 4)
    splits = list(source.plan())
    assert [(one.start, one.stop) for one in splits] == [(0, 2), (2, 4), (4, 5)]
    assert read_splits(source.only(["a"]), [splits[1]]).good == [{"a": n} for n in range(4, 8)]


def test_a_stream_is_one_split(tmp_path: Path) -> None:
    path = write(tmp_path, "a.arrows", [[1, 2], [3]], stream=True)
    source = opened(ArrowInput(path=str(path)), 1)
    assert len(list(source.plan())) == 1
    assert [one["a"] for one in read_all(source, max_rows=2).good] == [1, 2, 3]


def test_batches_are_put_together_to_full_pieces(tmp_path: Path) -> None:
    path = write(tmp_path, "a.arrow", [[1], [2, 3], [4], [5]])
    assert read_all(opened(ArrowInput(path=str(path)), 100), max_rows=2).sizes == [2, 2, 1]


@pytest.mark.parametrize("stream", [False, True])
def test_a_file_that_is_cut_off(tmp_path: Path, stream: bool) -> None:
    path = write(tmp_path, "a.arrow", [list(range(1000))] * 3, stream=stream)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    other = write(tmp_path, "b.arrow", [[1]])
    source = opened(ArrowInput(path=(str(path), str(other))))
    cut, good = source.plan()
    assert len(read_splits(source, [good]).good) == 1
    with pytest.raises(JobInputError, match=r"a\.arrow: is damaged"):
        read_splits(source, [cut])


def test_a_column_of_another_type_in_a_later_file(tmp_path: Path) -> None:
    write(tmp_path, "1.arrow", [[1]])
    write(tmp_path, "2.arrow", [["x"]])
    with pytest.raises(JobInputError, match=r"2\.arrow: column 'a': expected int64.*got string"):
        read_all(opened(ArrowInput(path=str(tmp_path))))
