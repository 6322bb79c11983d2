"""Unpacked packages that nothing is loaded from make room; those in use stay."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.core.ids import ServableId
from penstock.repository.filesystem_source import FileSystemSource
from penstock.repository.package_hold import PackageHold, locked, trim
from penstock.repository.package_options import PackageIntake
from penstock.repository.package_store import open_package, unpack
from tests.unit.repository.fake_disk import only
from tests.unit.repository.packed import ANYTHING, contents, save_package

SIZE = 100


def opened(root: Path, number: int) -> PackageHold:
    """A package of a hundred bytes, in use; the higher its number, the later it was opened."""
    content = str(number).encode() * SIZE
    package = save_package(root / f"{number}.pst", {"model.onnx": content[:SIZE]})
    hold = open_package(package, root / "cache", ANYTHING)
    os.utime(hold.folder, ns=(number, number))
    return hold


def left(root: Path) -> set[str]:
    """The first byte of each model that is still unpacked."""
    return {path.read_text()[0] for path in root.glob("cache/*/model.onnx")}


def test_what_was_opened_longest_ago_goes_first(tmp_path: Path) -> None:
    for number in (2, 1, 3):
        opened(tmp_path, number).release()
    trim(tmp_path / "cache", 3 * SIZE)
    assert left(tmp_path) == {"1", "2", "3"}
    trim(tmp_path / "cache", 3 * SIZE - 1)
    assert left(tmp_path) == {"2", "3"}
    trim(tmp_path / "cache", 0)
    assert left(tmp_path) == set()
    assert {path.suffix for path in (tmp_path / "cache").iterdir()} == {".lock"}


def test_what_is_held_stays_until_it_is_released(tmp_path: Path) -> None:
    holds = [opened(tmp_path, number) for number in (1, 2)]
    second = open_package(tmp_path / "1.pst", tmp_path / "cache", ANYTHING)
    trim(tmp_path / "cache", 0)
    assert left(tmp_path) == {"1", "2"}
    holds[0].release()
    holds[1].release()
    trim(tmp_path / "cache", 0)
    assert left(tmp_path) == {"1"}
    second.release()
    second.release()
    trim(tmp_path / "cache", 0)
    assert left(tmp_path) == set()


def test_a_forgotten_hold_holds_nothing(tmp_path: Path) -> None:
    opened(tmp_path, 1)
    trim(tmp_path / "cache", 0)
    assert left(tmp_path) == set()


def test_opening_again_makes_it_young(tmp_path: Path) -> None:
    for number in (1, 2):
        opened(tmp_path, number).release()
    unpack(tmp_path / "1.pst", tmp_path / "cache", ANYTHING)
    trim(tmp_path / "cache", SIZE)
    assert left(tmp_path) == {"1"}


def test_what_was_removed_is_unpacked_again(tmp_path: Path) -> None:
    folder = opened(tmp_path, 1).folder
    trim(tmp_path / "cache", 0)
    assert unpack(tmp_path / "1.pst", tmp_path / "cache", ANYTHING) == folder
    assert left(tmp_path) == {"1"}


def test_what_is_being_unpacked_stays(tmp_path: Path) -> None:
    folder = opened(tmp_path, 1).folder
    with locked(folder):
        trim(tmp_path / "cache", 0)
    assert left(tmp_path) == {"1"}


_HOLDER = """
import sys
from pathlib import Path
from penstock.repository.package_options import PackageOptions
from penstock.repository.package_store import open_package
hold = open_package(Path(sys.argv[1]), Path(sys.argv[2]), PackageOptions())
print("held", flush=True)
sys.stdin.read()
"""


def test_another_process_holds_as_well_until_it_is_killed(tmp_path: Path) -> None:
    opened(tmp_path, 1).release()
    command = [sys.executable, "-c", _HOLDER, str(tmp_path / "1.pst"), str(tmp_path / "cache")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        trim(tmp_path / "cache", 0)
        assert left(tmp_path) == {"1"}
        process.kill()
        process.wait()
        trim(tmp_path / "cache", 0)
        assert left(tmp_path) == set()


def test_a_cache_that_cannot_be_trimmed_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        trim(tmp_path / "nowhere", 0)
    assert "cannot be trimmed" in caplog.text


def test_a_version_that_is_opened_makes_room_for_itself(tmp_path: Path) -> None:
    opened(tmp_path, 1).release()
    kept = opened(tmp_path, 2)
    package = save_package(tmp_path / "new.pst", {"model.onnx": b"3" * SIZE}, version=3)
    intake = PackageIntake(tmp_path / "cache", max_cache_bytes=1)
    ref = only(FileSystemSource([package], packages=intake).scan())
    assert ref.id == ServableId("fraud", 3)
    assert ref.package is not None
    hold = ref.package.open()
    assert left(tmp_path) == {"2", "3"}
    assert contents(hold.folder) == {"model.onnx": b"3" * SIZE}
    kept.release()
    hold.release()
