"""Folders to values: links, circles, what is unfinished."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import penstock.repository.listing as listing
from penstock.core.errors import LoadFailed
from penstock.repository.fingerprint import fingerprint
from penstock.repository.listing import Entry, list_folder, stat_entry, walk

from .fake_disk import LONG_AGO_NS, fill


def names(root: Path) -> list[str]:
    return [entry.path for entry in walk(root).entries]


def test_files_below_are_found_in_order_without_folders(tmp_path: Path) -> None:
    fill(tmp_path, "b.txt", "a/c.txt", "a/d/e.txt", "empty/")
    assert names(tmp_path) == ["a/c.txt", "a/d/e.txt", "b.txt"]


def test_transient_things_count_as_activity_only(tmp_path: Path) -> None:
    fill(tmp_path, "m.onnx", ".m.onnx.Qx1", "m.onnx.tmp", "n~", "__pycache__/a.pyc", ".git/x")
    tree = walk(tmp_path)
    assert [e.path for e in tree.entries] == ["m.onnx"]
    future_ns = 4_000_000_000_000_000_000
    os.utime(tmp_path / ".m.onnx.Qx1", ns=(future_ns, future_ns))
    assert walk(tmp_path).newest_ns == future_ns
    assert walk(tmp_path).entries == tree.entries


def test_links_are_followed(tmp_path: Path) -> None:
    fill(tmp_path, "real/m.onnx", content="12345")
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "sub").symlink_to(tmp_path / "real")
    (tmp_path / "v" / "one.onnx").symlink_to(tmp_path / "real" / "m.onnx")
    tree = walk(tmp_path / "v")
    assert [(e.path, e.kind, e.size_bytes) for e in tree.entries] == [
        ("one.onnx", "file", 5),
        ("sub/m.onnx", "file", 5),
    ]


def test_circles_and_broken_links_end(tmp_path: Path) -> None:
    fill(tmp_path, "v/m.onnx")
    (tmp_path / "v" / "up").symlink_to(tmp_path)
    (tmp_path / "v" / "self").symlink_to(tmp_path / "v" / "self")
    (tmp_path / "v" / "gone").symlink_to(tmp_path / "nowhere")
    kinds = {e.path: e.kind for e in walk(tmp_path / "v").entries}
    assert kinds == {"gone": "broken", "m.onnx": "file", "self": "broken"}


def test_a_pipe_is_neither_opened_nor_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.onnx")
    assert [e.kind for e in list_folder(tmp_path)] == ["other"]


def test_a_version_of_too_many_files_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MAX_ENTRIES", 3)
    fill(tmp_path, "1/a", "1/b", "1/c")
    assert len(names(tmp_path / "1")) == 3
    fill(tmp_path, "1/d")
    with pytest.raises(LoadFailed, match="more than 3 files in '1'"):
        walk(tmp_path / "1")


def test_times_are_those_of_the_file(tmp_path: Path) -> None:
    fill(tmp_path, "a")
    entry = stat_entry(tmp_path / "a")
    assert entry.path == "a"
    assert entry.mtime_ns == LONG_AGO_NS
    assert entry.newest_ns == entry.ctime_ns > LONG_AGO_NS


def test_the_fingerprint_has_a_fixed_value() -> None:
    files = [Entry("model.onnx", "file", 3, 5, 7)]
    assert fingerprint(files) == fingerprint([Entry("model.onnx", "file", 3, 5, 99)])
    assert fingerprint(files) == "9c3dcdaf8682b8aa"
    assert fingerprint(files, b"x") != fingerprint(files)
