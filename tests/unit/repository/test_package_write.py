"""Writing a package: the same words give the same bytes, and a package is there whole or not."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import msgspec
import pytest

from penstock.core.errors import LoadFailed
from penstock.repository.package_check import check_package
from penstock.repository.package_manifest import PackagedFile, PackageManifest, content_digest
from penstock.repository.package_write import list_files, write_package
from tests.unit.repository.packed import (
    ANYTHING,
    FILES,
    manifest_of,
    package_bytes,
    save_keys,
)


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Path]:
    """The files on disk, under names of their own."""
    found = {}
    for number, (path, content) in enumerate(FILES.items()):
        found[path] = tmp_path / f"file-{number}"
        found[path].write_bytes(content)
    return found


def described(files: tuple[PackagedFile, ...]) -> PackageManifest:
    digest = content_digest(files)
    return msgspec.structs.replace(manifest_of({}), files=files, content_sha256=digest)


def test_what_is_written_is_what_the_format_says(sources: dict[str, Path], tmp_path: Path) -> None:
    manifest = described(list_files(sources))
    assert manifest == manifest_of(FILES)
    write_package(tmp_path / "m.pst", manifest, sources)
    assert (tmp_path / "m.pst").read_bytes() == package_bytes(FILES)


def test_neither_time_nor_rights_nor_order_change_a_byte(
    sources: dict[str, Path], tmp_path: Path
) -> None:
    private, _ = save_keys(tmp_path)
    write_package(tmp_path / "one.pst", described(list_files(sources)), sources, private)
    for path in sources.values():
        path.chmod(0o600)
        os.utime(path, ns=(1, 1))
    turned = dict(reversed(sources.items()))
    write_package(tmp_path / "two.pst", described(list_files(turned)), turned, private)
    assert (tmp_path / "one.pst").read_bytes() == (tmp_path / "two.pst").read_bytes()


def test_a_package_that_was_there_is_replaced(sources: dict[str, Path], tmp_path: Path) -> None:
    target = tmp_path / "m.pst"
    target.write_text("old")
    write_package(target, described(list_files(sources)), sources)
    assert check_package(target).head.manifest == manifest_of(FILES)


@pytest.mark.parametrize(
    "content", [b"x" * 2100, b"shorter", b"much longer" * 1000, FILES["model.onnx"] + b"more"]
)
def test_a_file_that_changes_meanwhile_fails_and_leaves_nothing(
    sources: dict[str, Path], tmp_path: Path, content: bytes
) -> None:
    manifest = described(list_files(sources))
    sources["model.onnx"].write_bytes(content)
    before = set(tmp_path.iterdir())
    with pytest.raises(LoadFailed, match="changed while it was packed"):
        write_package(tmp_path / "m.pst", manifest, sources)
    assert set(tmp_path.iterdir()) == before


def test_a_full_disk_leaves_the_old_package(
    sources: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "m.pst"
    target.write_text("old")

    def full(*args: object) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    manifest = described(list_files(sources))
    monkeypatch.setattr("penstock.repository.package_write.copy_hashed", full)
    with pytest.raises(OSError, match="No space left"):
        write_package(target, manifest, sources)
    assert target.read_text() == "old"
    assert not list(tmp_path.glob(".*"))


def test_a_path_no_package_may_hold_is_refused(sources: dict[str, Path]) -> None:
    with pytest.raises(LoadFailed, match="rename it"):
        list_files({"../x": sources["model.onnx"]})


def test_what_is_written_is_accepted(sources: dict[str, Path], tmp_path: Path) -> None:
    from penstock.repository.package_store import unpack

    write_package(tmp_path / "m.pst", described(list_files(sources)), sources)
    folder = unpack(tmp_path / "m.pst", tmp_path / "cache", ANYTHING)
    assert (folder / "words/a.txt").read_bytes() == b"alpha\n"
