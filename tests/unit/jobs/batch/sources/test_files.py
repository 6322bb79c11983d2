"""Which files are there, whether they stay the same, and what stands in the way."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest

from penstock.core.errors import ConfigError, JobInputError
from penstock.jobs.batch.sources import store_files
from penstock.jobs.batch.sources.files import Files
from penstock.jobs.batch.sources.input_file import why_unreadable
from penstock.jobs.batch.spec_inputs import CsvInput, JsonLinesInput, TextInput

from .reading import opened, read_all, read_splits


def names(*paths: object) -> list[str]:
    return [Path(file.source).name for file in Files(tuple(map(str, paths))).list()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.csv", "a.csv", "sub/c.csv", "sub/_job/x.csv", "_SUCCESS", ".d.csv", "e.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"n\n{name}\n")
    return tmp_path


class TestListing:
    def test_a_file_a_folder_and_patterns(self, folder: Path) -> None:
        assert names(folder / "a.csv") == ["a.csv"]
        assert names(folder) == ["a.csv", "b.csv", "e.txt", "c.csv"]
        assert names(folder / "*.csv") == ["a.csv", "b.csv"]
        assert names(folder / "**/*.csv") == ["a.csv", "b.csv", "c.csv"]
        assert names(folder / "[bc].csv", folder / "*.csv") == ["a.csv", "b.csv"]

    def test_hidden_ones_have_to_be_named(self, folder: Path) -> None:
        assert names(folder / "_SUCCESS") == ["_SUCCESS"]
        assert names(folder / ".d*") == [".d.csv"]

    def test_a_name_with_the_marks_of_a_pattern(self, tmp_path: Path) -> None:
        for name in ("a[1].csv", "a1.csv"):
            (tmp_path / name).write_text("x")
        assert names(tmp_path / "a[1].csv") == ["a[1].csv"]

    @pytest.mark.parametrize("name", ["none.csv", "*.none", "none/*.csv"])
    def test_nothing_is_there(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(JobInputError, match=r"is (not )?there") as caught:
            list(opened(CsvInput(path=f"{tmp_path}/{name}")).plan())
        assert name in str(caught.value)

    def test_a_pipe_is_no_file(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(JobInputError, match="no file is there"):
            Files((str(tmp_path / "pipe"),)).list()

    def test_paths_as_they_were_given(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(folder)
        assert [one.source for one in opened(CsvInput(path="sub/*.csv")).plan()] == ["sub/c.csv"]

    @pytest.mark.parametrize("path", ["", (), ("a", "")])
    def test_no_path(self, path: Any) -> None:
        with pytest.raises(ConfigError, match="expected at least one path"):
            opened(CsvInput(path=path))

    def test_credentials_in_a_url(self) -> None:
        with pytest.raises(ConfigError, match="credentials do not belong in a URL") as caught:
            opened(CsvInput(path="https://me:secret@host/a.csv"))
        assert "secret" not in str(caught.value)


class TestChanges:
    def change(self, path: Path, how: str) -> None:
        match how:
            case "longer":
                path.write_text("a\n1\n2\n")
            case "touched":
                os.utime(path, ns=(1, 1))
            case "gone":
                path.unlink()
            case "a folder":
                path.unlink()
                path.mkdir()

    @pytest.mark.parametrize(
        ("how", "message"),
        [
            ("longer", "was changed since it was planned"),
            ("touched", "was changed since it was planned"),
            ("gone", "is not there"),
            ("a folder", "is no longer a file"),
        ],
    )
    def test_between_plan_and_read(self, tmp_path: Path, how: str, message: str) -> None:
        path = tmp_path / "a.csv"
        path.write_text("a\n1\n")
        source = opened(CsvInput(path=str(path)))
        splits = list(source.plan())
        source.schema()
        self.change(path, how)
        with pytest.raises(JobInputError, match=rf"a\.csv: {message}") as caught:
            read_splits(source, splits)
        assert not caught.value.retryable

    def test_while_it_is_read(self, tmp_path: Path) -> None:
        path = tmp_path / "a.csv"
        path.write_text("a\n1\n2\n")
        source = opened(CsvInput(path=str(path)))
        (split,) = source.plan()
        pieces = source.read(split, 1, 1000)
        next(pieces)
        os.utime(path, ns=(1, 1))
        with pytest.raises(JobInputError, match="was changed since it was planned"):
            list(pieces)

    def test_the_same_split_gives_the_same_pieces(self, tmp_path: Path) -> None:
        path = tmp_path / "a.csv"
        path.write_text("a\n" + "\n".join(map(str, range(1000))))
        splits = list(opened(CsvInput(path=str(path)), 100).plan())
        assert splits == list(opened(CsvInput(path=str(path)), 100).plan())
        first = read_splits(opened(CsvInput(path=str(path)), 100), splits, 7, 100)
        assert first == read_splits(opened(CsvInput(path=str(path)), 100), splits, 7, 100)


class TestEmpty:
    def test_one_among_others(self, tmp_path: Path) -> None:
        (tmp_path / "1.csv").write_text("")
        (tmp_path / "2.csv").write_text("a\n1\n")
        source = opened(CsvInput(path=str(tmp_path)))
        assert len(list(source.plan())) == 1
        assert read_all(source).good == [{"a": 1}]

    @pytest.mark.parametrize("spec", [CsvInput, JsonLinesInput])
    def test_all_of_them(self, tmp_path: Path, spec: Any) -> None:
        (tmp_path / "1").write_text("")
        source = opened(spec(path=str(tmp_path)))
        assert list(source.plan()) == []
        with pytest.raises(JobInputError, match="every file is empty"):
            source.schema()


class TestRefusals:
    def test_permission_denied(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("1.csv", "2.csv"):
            (tmp_path / name).write_text("a\n1\n")
        real = io.FileIO

        def refuse(path: str) -> Any:
            if path.endswith("1.csv"):
                raise PermissionError(errno.EACCES, "Permission denied")
            return real(path)

        monkeypatch.setattr(io, "FileIO", refuse)
        source = opened(CsvInput(path=str(tmp_path)))
        refused, good = source.plan()
        assert read_splits(source, [good]).good == [{"a": 1}]
        with pytest.raises(JobInputError, match=r"1\.csv: permission denied") as caught:
            read_splits(source, [refused])
        assert not caught.value.retryable

    def test_a_folder_that_may_not_be_listed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(path: str) -> Any:
            raise PermissionError(errno.EACCES, "Permission denied", path)

        monkeypatch.setattr(os, "scandir", refuse)
        with pytest.raises(JobInputError, match=r"\*\.csv: permission denied"):
            list(opened(CsvInput(path=str(tmp_path / "*.csv"))).plan())

    def test_a_disk_that_fails_may_be_tried_again(self) -> None:
        error = why_unreadable("a.csv", OSError(errno.EIO, "Input/output error"))
        assert error.message == "a.csv: cannot be read: Input/output error"
        assert error.retryable


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda data: pa.compress(data, "zstd", asbytes=True),
}
LINES = b"".join(b'{"a": %d}\n' % number for number in range(20_000))


class TestPacked:
    @pytest.mark.parametrize("ending", PACKERS)
    def test_by_the_name(self, tmp_path: Path, ending: str) -> None:
        path = tmp_path / f"a.jsonl.{ending}"
        path.write_bytes(PACKERS[ending](LINES))
        source = opened(JsonLinesInput(path=str(path)), split_rows=10)
        assert len(list(source.plan())) == 1
        assert [one["a"] for one in read_all(source).good] == list(range(20_000))

    @pytest.mark.parametrize("ending", PACKERS)
    def test_in_several_parts(self, tmp_path: Path, ending: str) -> None:
        path = tmp_path / f"a.jsonl.{ending}"
        pack = PACKERS[ending]
        path.write_bytes(pack(LINES[:10]) + pack(LINES[10:]))
        assert len(read_all(opened(JsonLinesInput(path=str(path)))).good) == 20_000

    def test_as_the_job_says(self, tmp_path: Path) -> None:
        path = tmp_path / "a.gz"
        path.write_bytes(LINES)
        assert len(read_all(opened(JsonLinesInput(path=str(path), compression="none"))).good)
        path.write_bytes(lzma.compress(LINES))
        assert len(read_all(opened(JsonLinesInput(path=str(path), compression="xz"))).good)

    @pytest.mark.parametrize("ending", PACKERS)
    @pytest.mark.parametrize("damage", ["cut off", "no such format"])
    def test_damaged(self, tmp_path: Path, ending: str, damage: str) -> None:
        path = tmp_path / f"a.jsonl.{ending}"
        packed = PACKERS[ending](LINES)
        path.write_bytes(packed[: len(packed) // 2] if damage == "cut off" else b"nonsense" * 99)
        source = opened(JsonLinesInput(path=str(path), types={"a": "int64"}))
        with pytest.raises(JobInputError, match=rf"a\.jsonl\.{ending}: is damaged") as caught:
            read_all(source)
        assert not caught.value.retryable


class TestEncodings:
    @pytest.mark.parametrize("name", ["latin-1", "cp1252", "utf-16", "utf-16-be", "utf-8-sig"])
    def test_text_of_it(self, tmp_path: Path, name: str) -> None:
        path = tmp_path / "a.csv"
        path.write_bytes("é,b\nü,1\nö,2\n".encode(name))
        found = read_all(opened(CsvInput(path=str(path), encoding=name), 1))
        assert found.good == [{"é": "ü", "b": 1}, {"é": "ö", "b": 2}]

    def test_a_line_of_another_one_is_a_bad_row(self, tmp_path: Path) -> None:
        path = tmp_path / "a.txt"
        path.write_bytes("wörld\n".encode() + "wörld\n".encode("latin-1") + b"end\n")
        found = read_all(opened(TextInput(path=str(path))))
        assert found.marked == [{"line": "wörld"}, "wörld".encode("latin-1"), {"line": "end"}]

    def test_a_line_that_is_no_utf_16(self, tmp_path: Path) -> None:
        path = tmp_path / "a.txt"
        path.write_bytes("a\n".encode("utf-16-le") + b"\x00\xd8\n\x00" + "b".encode("utf-16-le"))
        found = read_all(opened(TextInput(path=str(path), encoding="utf-16-le")))
        assert found.good == [{"line": "a"}, {"line": "b"}]
        assert len(found.bad) == 1

    @pytest.mark.parametrize("name", ["utf-9", "rot13", "base64"])
    def test_one_that_is_none(self, name: str) -> None:
        with pytest.raises(ConfigError, match=f"encoding: unknown, got '{name}'"):
            opened(TextInput(path="a", encoding=name))


class TestStores:
    def test_files_are_named_by_the_scheme_that_the_job_says(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        memory = fsspec.filesystem("memory")
        memory.pipe("/named/a.csv", b"a\n1\n")
        monkeypatch.setattr(type(memory), "unstrip_protocol", lambda _, name: f"abfs://{name}")
        try:
            assert [file.source for file in store_files.find("memory://named")] == [
                "memory:///named/a.csv"
            ]
        finally:
            memory.rm("/named", recursive=True)

    def test_a_store_that_fsspec_knows(self) -> None:
        memory = fsspec.filesystem("memory")
        memory.pipe({"/in/b.csv": b"a\n2\n", "/in/a.csv": b"a\n1\n", "/in/_SUCCESS": b"{}"})
        try:
            for path in ("memory://in", "memory://in/*.csv"):
                source = opened(CsvInput(path=path))
                assert [one["a"] for one in read_all(source).good] == [1, 2]
            splits = list(source.plan())
            memory.pipe("/in/a.csv", b"a\n3\n")
            with pytest.raises(JobInputError, match="was changed since it was planned"):
                read_splits(source, splits)
        finally:
            memory.rm("/in", recursive=True)

    def test_one_that_is_not_known(self) -> None:
        with pytest.raises(ConfigError, match="nowhere:// is no store that fsspec knows"):
            list(opened(CsvInput(path="nowhere://a/b.csv")).plan())

    def test_a_bucket(self, bucket: Any) -> None:
        lines = b"".join(b"line %d\n" % number for number in range(1000))
        bucket.pipe(f"{bucket.name}/logs/a.txt", lines)
        bucket.pipe(f"{bucket.name}/logs/b.txt.gz", gzip.compress(lines))
        source = opened(TextInput(path=f"s3://{bucket.name}/logs"), split_rows=300)
        splits = list(source.plan())
        assert len(splits) == 5
        assert "etag=" in splits[0].fingerprint
        assert len(read_splits(source, splits).good) == 2000

    def test_a_bucket_that_is_not_there(self, bucket: Any) -> None:
        with pytest.raises(JobInputError, match=r"s3://no-such-bucket/a\.csv: no file is there"):
            list(opened(CsvInput(path="s3://no-such-bucket/a.csv")).plan())
        bucket.pipe(f"{bucket.name}/a.csv", b"a\n1\n")
        source = opened(CsvInput(path=f"s3://{bucket.name}/a.csv"))
        splits = list(source.plan())
        source.schema()
        bucket.rm(f"{bucket.name}/a.csv")
        with pytest.raises(JobInputError, match=r"a\.csv: is not there") as caught:
            read_splits(source, splits)
        assert not caught.value.retryable

    @pytest.mark.parametrize(
        ("error", "message", "retryable"),
        [
            (PermissionError("Forbidden"), "permission denied", False),
            (FileNotFoundError("gone"), "is not there", False),
            (TimeoutError("slow"), "no answer: TimeoutError", True),
            (ConnectionResetError(104, "Connection reset by peer"), "reset", True),
        ],
    )
    def test_one_that_refuses(
        self, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str, retryable: bool
    ) -> None:
        memory = fsspec.filesystem("memory")
        memory.pipe("/in/a.csv", b"a\n1\n")
        source = opened(CsvInput(path="memory://in/a.csv"))
        splits = list(source.plan())
        source.schema()

        def refuse(*_: Any, **__: Any) -> Any:
            raise error

        monkeypatch.setattr(type(memory), "cat_file", refuse)
        with pytest.raises(JobInputError, match=rf"memory:///in/a\.csv: .*{message}") as caught:
            read_splits(source, splits)
        assert caught.value.retryable == retryable

    @pytest.mark.parametrize("size", [0, 2, 100])
    def test_one_that_gives_another_part_than_was_asked_for(
        self, monkeypatch: pytest.MonkeyPatch, size: int
    ) -> None:
        memory = fsspec.filesystem("memory")
        memory.pipe("/in/a.csv", b"a\n1\n")
        source = opened(CsvInput(path="memory://in/a.csv"))
        splits = list(source.plan())
        source.schema()
        monkeypatch.setattr(type(memory), "cat_file", lambda *_, **__: b"x" * size)
        with pytest.raises(JobInputError, match=f"the store gave {size}") as caught:
            read_splits(source, splits)
        assert caught.value.retryable == (size < 4)

    def test_a_package_that_is_not_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import fsspec.core

        def missing(*_: Any, **__: Any) -> Any:
            raise ImportError("no s3fs")

        monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
        with pytest.raises(ConfigError, match=r"pip install 'penstock\[s3\]'"):
            store_files.find("s3://bucket/a.csv")
