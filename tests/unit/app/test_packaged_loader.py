"""A packaged version is unpacked before it is loaded, and kept there until it is unloaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.app.packaged_loader import PackagedLoader
from penstock.core.errors import LoadFailed
from penstock.core.resources import ResourceEstimate
from penstock.core.servable import Servable
from penstock.repository.filesystem_source import FileSystemSource
from penstock.repository.package_hold import trim
from penstock.repository.package_options import PackageIntake
from penstock.repository.package_ref import PackageRef
from penstock.testing.fake_loader import FakeServable
from tests.unit.repository.fake_disk import only
from tests.unit.repository.packed import save_package


class Inner:
    """Loads where it is told to succeed; remembers whether the files were there."""

    def __init__(self, package: PackageRef, error: Exception | None = None) -> None:
        self._package = package
        self._error = error
        self.found: list[bool] = []

    def estimate(self) -> ResourceEstimate:
        return ResourceEstimate(7)

    async def load(self) -> Servable:
        self.found.append((self._package.folder / "model.onnx").is_file())
        if self._error is not None:
            raise self._error
        return FakeServable()

    async def unload(self) -> None:
        self.found.append((self._package.folder / "model.onnx").is_file())


@pytest.fixture
def package(tmp_path: Path) -> PackageRef:
    intake = PackageIntake(tmp_path / "cache")
    path = save_package(tmp_path / "m.pst")
    found = only(FileSystemSource([path], packages=intake).scan()).package
    assert found is not None
    return found


def is_kept(package: PackageRef) -> bool:
    """Whether the files stay when all that may go does."""
    trim(package.intake.cache, 0)
    return package.folder.exists()


async def test_the_files_are_there_from_load_to_unload(package: PackageRef) -> None:
    inner = Inner(package)
    loader = PackagedLoader(inner, package)
    assert loader.estimate() == ResourceEstimate(7)
    assert not package.folder.exists()
    for _ in range(2):
        await loader.load()
        assert is_kept(package)
        await loader.unload()
        assert not is_kept(package)
    assert inner.found == [True] * 4


async def test_a_load_that_fails_keeps_nothing(package: PackageRef) -> None:
    loader = PackagedLoader(Inner(package, LoadFailed("no")), package)
    with pytest.raises(LoadFailed, match="no"):
        await loader.load()
    assert not is_kept(package)


async def test_a_damaged_package_is_never_handed_on(package: PackageRef) -> None:
    content = bytearray(package.path.read_bytes())
    content[-1500] ^= 1
    package.path.write_bytes(content)
    inner = Inner(package)
    with pytest.raises(LoadFailed):
        await PackagedLoader(inner, package).load()
    assert inner.found == []
