"""Unpacking: whole and verified, or not at all."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.core.errors import ConfigError, LoadFailed
from penstock.repository.package_options import PackageOptions
from penstock.repository.package_store import unpack
from tests.unit.repository.packed import ANYTHING, FILES, contents, save_keys, save_package


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return save_package(tmp_path / "m.pst")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_the_folder_holds_the_files_and_nothing_else(package: Path, cache: Path) -> None:
    folder = unpack(package, cache, ANYTHING)
    assert contents(folder) == FILES
    assert folder.parent == cache
    assert all(not path.stat().st_mode & 0o222 for path in folder.rglob("*") if path.is_file())
    assert sorted(path.suffix for path in cache.iterdir()) == ["", ".lock"]


def test_equal_content_has_one_folder(package: Path, cache: Path, tmp_path: Path) -> None:
    other = save_package(tmp_path / "other.pst", name="churn", version=1)
    assert unpack(package, cache, ANYTHING) == unpack(other, cache, ANYTHING)


def test_what_is_unpacked_is_not_written_again(package: Path, cache: Path) -> None:
    folder = unpack(package, cache, ANYTHING)
    before = {path: path.stat().st_ino for path in folder.rglob("*")}
    assert unpack(package, cache, ANYTHING) == folder
    assert {path: path.stat().st_ino for path in folder.rglob("*")} == before


def _change(folder: Path) -> None:
    (folder / "model.onnx").chmod(0o644)
    (folder / "model.onnx").write_bytes(b"other")


def _same_size(folder: Path) -> None:
    (folder / "words/a.txt").chmod(0o644)
    (folder / "words/a.txt").write_bytes(b"ALPHA\n")


def _link(folder: Path) -> None:
    (folder / "model.onnx").rename(folder.parent / "elsewhere")
    (folder / "model.onnx").symlink_to(folder.parent / "elsewhere")


def _link_folder(folder: Path) -> None:
    (folder / "words").rename(folder.parent / "elsewhere")
    (folder / "words").symlink_to(folder.parent / "elsewhere")


def _link_all(folder: Path) -> None:
    folder.rename(folder.parent / "elsewhere")
    folder.symlink_to(folder.parent / "elsewhere")


def _replace_by_file(folder: Path) -> None:
    folder.rename(folder.parent / "elsewhere")
    folder.write_text("no folder")


def _pipe(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    os.mkfifo(folder / "model.onnx")


@pytest.mark.parametrize(
    "harm",
    [
        _change,
        _same_size,
        _link,
        _link_folder,
        _link_all,
        _replace_by_file,
        _pipe,
        lambda folder: (folder / "model.onnx").unlink(),
        lambda folder: (folder / "words/extra.py").write_text("import os"),
        lambda folder: (folder / "extra").mkdir(),
    ],
)
def test_a_changed_folder_is_made_anew(
    package: Path, cache: Path, harm: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    folder = unpack(package, cache, ANYTHING)
    harm(folder)
    assert unpack(package, cache, ANYTHING) == folder
    assert contents(folder) == FILES
    assert not folder.is_symlink()
    assert not any(path.is_symlink() for path in folder.rglob("*"))
    assert not (folder / "extra").exists()
    assert "changed or is incomplete" in caplog.text


def test_bytecode_that_python_left_is_removed_and_nothing_unpacked_again(
    package: Path, cache: Path
) -> None:
    folder = unpack(package, cache, ANYTHING)
    inode = (folder / "model.onnx").stat().st_ino
    for place in (folder, folder / "words"):
        (place / "__pycache__").mkdir()
        (place / "__pycache__/a.pyc").write_bytes(b"evil")
    unpack(package, cache, ANYTHING)
    assert contents(folder) == FILES
    assert (folder / "model.onnx").stat().st_ino == inode


def test_what_a_killed_process_left_is_removed(package: Path, cache: Path) -> None:
    folder = unpack(package, cache, ANYTHING)
    left = folder.with_suffix(".partial")
    folder.rename(left)
    (left / "model.onnx").unlink()
    assert unpack(package, cache, ANYTHING) == folder
    assert contents(folder) == FILES
    assert not left.exists()


def test_many_that_unpack_at_once_get_one_folder(package: Path, cache: Path) -> None:
    folders: list[Path] = []
    ready = threading.Barrier(8)

    def work() -> None:
        ready.wait()
        folders.append(unpack(package, cache, ANYTHING))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(folders) == 8
    assert len(set(folders)) == 1
    assert contents(folders[0]) == FILES


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (PackageOptions(max_files=2), "holds 3 files, the limit is 2 (packages.max_files)"),
        (PackageOptions(max_bytes=2105), "take 2106 bytes, the limit is 2105 (packages.max_bytes)"),
    ],
)
def test_limits_are_held(package: Path, cache: Path, options: PackageOptions, why: str) -> None:
    with pytest.raises(LoadFailed) as caught:
        unpack(package, cache, options)
    assert why in caught.value.message
    assert not cache.exists()


def test_the_limits_themselves_are_allowed(package: Path, cache: Path) -> None:
    unpack(package, cache, PackageOptions(max_files=3, max_bytes=2106))


def test_a_signed_package_is_unpacked_for_who_trusts_its_key(tmp_path: Path, cache: Path) -> None:
    private, public = save_keys(tmp_path)
    signed = save_package(tmp_path / "signed.pst", sign_key=private)
    folder = unpack(signed, cache, PackageOptions(trusted_keys=(public,)))
    assert contents(folder) == FILES


def test_a_key_that_is_not_there_is_a_configuration_error(tmp_path: Path, cache: Path) -> None:
    signed = save_package(tmp_path / "signed.pst", sign_key=save_keys(tmp_path)[0])
    with pytest.raises(ConfigError, match="cannot be read"):
        unpack(signed, cache, PackageOptions(trusted_keys=(Path("nowhere.pem"),)))


def test_a_package_that_is_not_there_says_so(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(LoadFailed, match="No such file") as caught:
        unpack(tmp_path / "none.pst", cache, ANYTHING)
    assert not caught.value.retryable


def test_an_empty_package_is_an_empty_folder(tmp_path: Path, cache: Path) -> None:
    folder = unpack(save_package(tmp_path / "empty.pst", {}), cache, ANYTHING)
    assert folder.is_dir()
    assert contents(folder) == {}
