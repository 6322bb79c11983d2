"""The cache: shared by processes, bounded, and never less than whole."""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.core.errors import LoadFailed
from penstock.repository.remote.remote_file import RemoteFile, RemoteListing
from penstock.repository.remote.remote_store import Piece

from .bringing import Bringer
from .file_server import FileServer, Served
from .test_mirror import FakeStore

URL = "s3://bucket/models"


def bring(bringer: Bringer, **files: bytes) -> Path:
    """Bring these files; the folder they came to."""
    mirror, root = bringer.mirror(URL, FakeStore(**files))
    mirror.look(believe=True)
    return root


def end(bringer: Bringer) -> None:
    """End a server, as the kernel does for one that was killed."""
    os.close(bringer.handle)


def test_equal_content_is_kept_once(bringer: Bringer) -> None:
    bring(bringer, m__1__model=b"same", m__2__model=b"same", n__1__model=b"same")
    assert bringer.blobs == 1


def test_the_least_recently_used_makes_room(tmp_path: Path) -> None:
    first = Bringer(tmp_path)
    bring(first, a__1__model=b"a" * 40)
    first.clock.step(10)
    bring(first, b__1__model=b"b" * 40)
    end(first)
    second = Bringer(tmp_path, max_bytes=100)
    second.clock.step(20)
    store = FakeStore(a__1__model=b"a" * 40)
    second.mirror(URL, store)[0].look(believe=True)
    assert not store.reads
    end(second)
    third = Bringer(tmp_path, max_bytes=100)
    third.clock.step(30)
    bring(third, c__1__model=b"c" * 40)
    kept = {path.read_bytes()[:1] for path in (tmp_path / "blobs").iterdir()}
    assert kept == {b"a", b"c"}


def test_what_is_served_is_never_removed_and_the_refusal_says_so(tmp_path: Path) -> None:
    serving, other = Bringer(tmp_path, max_bytes=100), Bringer(tmp_path, max_bytes=100)
    root = bring(serving, a__1__model=b"a" * 60)
    with pytest.raises(LoadFailed, match=r"takes 60 bytes, and 60 of the 100 .*max_bytes"):
        bring(other, b__1__model=b"b" * 60)
    assert (root / "a/1/model.onnx").read_bytes() == b"a" * 60
    end(serving)
    bring(other, b__1__model=b"b" * 60)
    assert not root.exists()


def test_a_file_of_unknown_size_stays_within_bounds(tmp_path: Path, web: FileServer) -> None:
    web.files["/m.onnx"] = Served(b"x" * 3_000_000)
    bringer = Bringer(tmp_path, max_bytes=1_000_000)
    with pytest.raises(LoadFailed, match=r"raise model_cache\.max_bytes"):
        bringer.bring(f"{web.url}/m.onnx#sha256={'0' * 64}")
    assert sum(file.stat().st_size for file in tmp_path.rglob("*")) < 2_000_000


def test_a_file_that_somebody_cut_is_fetched_again(tmp_path: Path) -> None:
    end(first := Bringer(tmp_path))
    bring(first, m__1__model=b"whole")
    (blob,) = (tmp_path / "blobs").iterdir()
    blob.chmod(0o600)
    blob.write_bytes(b"who")
    root = bring(Bringer(tmp_path), m__1__model=b"whole")
    assert (root / "m/1/model.onnx").read_bytes() == b"whole"


def test_where_the_disk_knows_no_hard_links_files_are_copied(
    bringer: Bringer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    root = bring(bringer, m__1__model=b"whole")
    (blob,) = (bringer.path / "blobs").iterdir()
    copy = root / "m/1/model.onnx"
    assert copy.read_bytes() == b"whole"
    assert copy.stat().st_mtime_ns == blob.stat().st_mtime_ns


def test_a_full_disk_is_that_versions_error(
    bringer: Bringer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LoadFailed, match=r"no room on the disk of model_cache\.path"):
        bring(bringer, m__1__model=b"whole")


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LoadFailed, match=r"model_cache\.path: .*file cannot be written"):
        Bringer(tmp_path / "file")


class HeldStore(FakeStore):
    """Gives half, then waits to be let go."""

    def __init__(self, content: bytes) -> None:
        super().__init__(m__1__model=content)
        self.has_begun, self.may_end = threading.Event(), threading.Event()

    def list(self) -> RemoteListing:
        return super().list()

    def read(self, file: RemoteFile, start: int) -> Iterator[Piece]:
        data = self.files[file.source]
        self.reads.append(file.source)
        yield Piece(0, data[:5])
        self.has_begun.set()
        assert self.may_end.wait(20)
        yield Piece(5, data[5:])


def test_two_servers_that_want_the_same_fetch_it_once(tmp_path: Path) -> None:
    slow, other = HeldStore(b"0123456789"), FakeStore(m__1__model=b"0123456789")
    one, two = Bringer(tmp_path), Bringer(tmp_path)
    first = threading.Thread(target=one.mirror(URL, slow)[0].look, kwargs={"believe": True})
    first.start()
    assert slow.has_begun.wait(20)
    mirror, root = two.mirror(URL, other)
    second = threading.Thread(target=mirror.look, kwargs={"believe": True})
    second.start()
    slow.may_end.set()
    first.join(20)
    second.join(20)
    assert (root / "m/1/model.onnx").read_bytes() == b"0123456789"
    assert slow.reads == ["m/1/model.onnx"]
    assert other.reads == []


def _bring_in_a_process(folder: str, url: str, digest: str) -> None:
    bringer = Bringer(Path(folder))
    bringer.bring(f"{url}#sha256={digest}")
    os._exit(0)


def test_processes_share_a_cache(tmp_path: Path, web: FileServer) -> None:
    content = bytes(range(256)) * 4000
    web.files["/m.onnx"] = Served(content, breaks=1, breaks_after=1000)
    arguments = (str(tmp_path), f"{web.url}/m.onnx", hashlib.sha256(content).hexdigest())
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_bring_in_a_process, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(40)
        assert process.exitcode == 0
    assert web.ranges("/m.onnx") == ["", "bytes=1000-"]
    (blob,) = (tmp_path / "blobs").iterdir()
    assert blob.read_bytes() == content


def test_the_folders_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    living, dead = Bringer(tmp_path), Bringer(tmp_path)
    end(dead)
    new = Bringer(tmp_path)
    assert living.run.exists()
    assert new.run.exists()
    assert not dead.run.exists()
    shutil.rmtree(tmp_path)
