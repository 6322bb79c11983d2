"""What a mirror brings when, and what it does when it cannot."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.core.errors import LoadFailed
from penstock.repository.remote.remote_file import RemoteFile, RemoteListing
from penstock.repository.remote.remote_store import Piece

from .bringing import Bringer, contents

URL = "s3://bucket/models"


class FakeStore:
    """A store whose files are a mapping.

    Attributes:
        files: content by path.
        refuses: what to raise for a path; for "" when it is listed.
        reads: the paths that were read.
    """

    def __init__(self, **files: bytes) -> None:
        self.files = {path.replace("__", "/") + ".onnx": data for path, data in files.items()}
        self.refuses: dict[str, Exception] = {}
        self.reads: list[str] = []

    def list(self) -> RemoteListing:
        if "" in self.refuses:
            raise self.refuses[""]
        files = (
            RemoteFile(path, path, len(data), hashlib.sha256(data).hexdigest())
            for path, data in sorted(self.files.items())
        )
        return RemoteListing(tuple(files))

    def read(self, file: RemoteFile, start: int) -> Iterator[Piece]:
        self.reads.append(file.source)
        if file.source in self.refuses:
            raise self.refuses[file.source]
        yield Piece(start, self.files[file.source][start:])

    def confirm(self, file: RemoteFile) -> None:
        pass


def test_a_version_counts_once_two_looks_agree(bringer: Bringer) -> None:
    store = FakeStore(m__1__model=b"one")
    mirror, root = bringer.mirror(URL, store)
    assert mirror.look() == (True, False)
    store.files["m/1/weights.onnx"] = b"still coming"
    assert mirror.look() == (True, False)
    assert contents(root) == {}
    assert mirror.look() == (False, True)
    assert set(contents(root)) == {"m/1/model.onnx", "m/1/weights.onnx"}


def test_a_growing_version_holds_back_no_other(bringer: Bringer) -> None:
    store = FakeStore(m__1__model=b"one", n__1__model=b"n")
    mirror, root = bringer.mirror(URL, store)
    mirror.look()
    for size in range(1, 5):
        store.files["m/2/model.onnx"] = b"x" * size
        assert mirror.look().is_held
        assert set(contents(root)) == {"m/1/model.onnx", "n/1/model.onnx"}
    mirror.look()
    assert contents(root)["m/2/model.onnx"] == b"xxxx"


def test_a_version_that_vanishes_for_one_look_stays(bringer: Bringer) -> None:
    store = FakeStore(m__1__model=b"one", m__2__model=b"two")
    mirror, root = bringer.mirror(URL, store)
    mirror.look(believe=True)
    gone = store.files.pop("m/1/model.onnx")
    assert mirror.look().is_held
    store.files["m/1/model.onnx"] = gone
    mirror.look()
    mirror.look()
    assert len(contents(root)) == 2
    assert len(store.reads) == 2


LAYOUTS = (
    {"m/model.onnx": b"loose", "m/model.yaml": b"{}"},
    {"m/1/model.onnx": b"one", "m/model.yaml": b"{}"},
    {"m/2/model.onnx": b"two", "m/1.onnx": b"beside"},
    {"m/2.pst": b"package", "m/model.yaml": b"{}"},
)


@pytest.mark.parametrize("before", LAYOUTS)
@pytest.mark.parametrize("after", LAYOUTS)
def test_a_layout_may_change_into_any_other(
    bringer: Bringer, before: dict[str, bytes], after: dict[str, bytes]
) -> None:
    store = FakeStore()
    mirror, root = bringer.mirror(URL, store)
    for store.files in (before, after):
        mirror.look()
        mirror.look()
        assert contents(root) == store.files


def test_an_empty_answer_later_changes_nothing(
    bringer: Bringer, caplog: pytest.LogCaptureFixture
) -> None:
    store = FakeStore(m__1__model=b"one")
    mirror, root = bringer.mirror(URL, store)
    mirror.look(believe=True)
    kept, store.files = store.files, {}
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            assert mirror.look(believe=True) == (False, False)
        store.files = kept
        mirror.look()
    assert contents(root) == {"m/1/model.onnx": b"one"}
    assert [r.getMessage().partition("; ")[2] for r in caplog.records] == [
        "its models stay as they were",
        "",
    ]


def test_a_store_that_goes_away_changes_nothing(bringer: Bringer) -> None:
    store = FakeStore(m__1__model=b"one")
    mirror, root = bringer.mirror(URL, store)
    mirror.look(believe=True)
    store.refuses[""] = ConnectionError()
    assert mirror.look() == (False, False)
    assert contents(root) == {"m/1/model.onnx": b"one"}


def test_a_version_that_cannot_be_read_is_that_versions_error(bringer: Bringer) -> None:
    store = FakeStore(m__1__model=b"one", m__2__model=b"two")
    store.refuses["m/2/model.onnx"] = PermissionError()
    mirror, root = bringer.mirror(URL, store)
    mirror.look(believe=True)
    assert contents(root) == {"m/1/model.onnx": b"one"}
    (failure,) = mirror.failures
    assert (failure.unit.model, failure.unit.version) == ("m", 2)
    assert "s3://bucket/models: model.onnx: the store refuses (403)" in failure.error.message


def test_what_failed_is_tried_again_later_and_later(bringer: Bringer) -> None:
    store = FakeStore(m__1__model=b"one", m__2__model=b"two")
    store.refuses["m/2/model.onnx"] = PermissionError()
    mirror, root = bringer.mirror(URL, store)
    mirror.look(believe=True)
    mirror.look(believe=True)
    assert store.reads.count("m/2/model.onnx") == 1
    bringer.clock.step(6)
    mirror.look(believe=True)
    assert store.reads.count("m/2/model.onnx") == 2
    bringer.clock.step(6)
    mirror.look(believe=True)
    assert store.reads.count("m/2/model.onnx") == 2
    store.refuses.clear()
    bringer.clock.step(6)
    assert mirror.look(believe=True).is_changed
    assert not mirror.failures
    assert len(contents(root)) == 2


def test_what_failed_is_tried_at_once_when_it_is_another(bringer: Bringer) -> None:
    store = FakeStore(m__1__model=b"one", m__2__model=b"two")
    store.refuses["m/2/model.onnx"] = PermissionError()
    mirror, root = bringer.mirror(URL, store)
    mirror.look(believe=True)
    store.refuses.clear()
    store.files["m/2/model.onnx"] = b"mended"
    mirror.look(believe=True)
    assert contents(root)["m/2/model.onnx"] == b"mended"


def test_nothing_at_the_start_is_an_error(bringer: Bringer) -> None:
    store = FakeStore(m__1__model=b"one")
    store.refuses["m/1/model.onnx"] = PermissionError()
    with pytest.raises(LoadFailed, match="403"):
        bringer.mirror(URL, store)[0].look(believe=True)
    with pytest.raises(LoadFailed, match="nothing is there"):
        bringer.mirror(URL, FakeStore())[0].look()


class TestStartWithoutTheStore:
    def test_what_was_kept_is_served(self, tmp_path: Path) -> None:
        store = FakeStore(m__1__model=b"one")
        Bringer(tmp_path).mirror(URL, store)[0].look(believe=True)
        later = Bringer(tmp_path)
        store.refuses[""] = ConnectionError()
        mirror, root = later.mirror(URL, store)
        assert mirror.look() == (False, True)
        assert contents(root) == {"m/1/model.onnx": b"one"}
        del store.refuses[""]
        store.files["m/2/model.onnx"] = b"two"
        mirror.look()
        mirror.look()
        assert len(contents(root)) == 2
        assert store.reads == ["m/1/model.onnx", "m/2/model.onnx"]

    def test_but_not_where_the_store_answers_that_we_may_not(self, tmp_path: Path) -> None:
        store = FakeStore(m__1__model=b"one")
        Bringer(tmp_path).mirror(URL, store)[0].look(believe=True)
        store.refuses[""] = PermissionError()
        with pytest.raises(LoadFailed, match="403"):
            Bringer(tmp_path).mirror(URL, store)[0].look()

    def test_and_not_where_nothing_was_kept(self, bringer: Bringer) -> None:
        store = FakeStore(m__1__model=b"one")
        store.refuses[""] = ConnectionError()
        with pytest.raises(LoadFailed, match="cannot be fetched: ConnectionError"):
            bringer.mirror(URL, store)[0].look()


def test_a_version_has_the_same_revision_wherever_it_is_brought(tmp_path: Path) -> None:
    times = set()
    for name in ("a", "b"):
        mirror, root = Bringer(tmp_path / name).mirror(URL, FakeStore(m__1__model=b"one"))
        mirror.look(believe=True)
        times.add((root / "m/1/model.onnx").stat().st_mtime_ns)
    assert len(times) == 1
