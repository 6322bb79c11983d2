"""UnitFolder: puts units that were brought whole where the file system source looks."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path

from penstock.repository.package_head import read_head
from penstock.repository.package_options import PackageOptions
from penstock.repository.remote.model_unit import ModelUnit, is_package


class UnitFolder:
    """The local repository of one address. One thread at a time.

    Args:
        root: the folder, made by ``open``.
        beside: a folder of the same file system for what is not whole yet.
        packages: what is accepted of a package whose name and version are its own.
    """

    def __init__(self, root: Path, beside: Path, packages: PackageOptions) -> None:
        self.root = root
        self._beside = beside
        self._packages = packages
        self._placed: dict[str, tuple[Path, ...]] = {}

    def open(self) -> None:
        """Make the folder, empty: nothing is there yet."""
        self.root.mkdir(parents=True, exist_ok=True)
        self._beside.mkdir(parents=True, exist_ok=True)

    def stage(self) -> Path:
        """An empty folder to bring a unit to."""
        folder = self._beside / uuid.uuid4().hex
        folder.mkdir()
        return folder

    def place(self, unit: ModelUnit, staged: Path, shown: str) -> None:
        """Put a whole unit in its place; one that was there before goes.

        Args:
            unit: what it is.
            staged: a folder of ``stage`` with its files, which are moved.
            shown: the address for messages.

        Raises:
            LoadFailed: it is a package, and not one that is accepted.
        """
        if unit.is_folder:
            self._swap(self.root / unit.path, staged)
            return
        if is_package(unit):
            target = self._package_place(staged / unit.files[0].path, shown)
            places = {target: staged / unit.files[0].path}
        else:
            base = self.root / unit.path
            places = {
                (base / f.path if f.path else base): staged / (f.path or "file") for f in unit.files
            }
        for target, source in places.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(target)
        self._remove_files(set(self._placed.get(_key(unit), ())) - places.keys())
        self._placed[_key(unit)] = tuple(places)

    def drop(self, unit: ModelUnit) -> None:
        """Remove a unit that is gone from its store."""
        if unit.is_folder:
            self._discard(self.root / unit.path)
        self._remove_files(self._placed.pop(_key(unit), ()))
        model = (self.root / unit.path).parent
        if unit.path and model != self.root and model.is_dir() and not any(model.iterdir()):
            model.rmdir()

    def _swap(self, target: Path, staged: Path) -> None:
        """Two renames; the source that looks here waits for the second one."""
        self._discard(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        staged.rename(target)

    def _discard(self, target: Path) -> None:
        if target.exists():
            old = self._beside / uuid.uuid4().hex
            target.rename(old)
            shutil.rmtree(old)

    def _remove_files(self, paths: Iterable[Path]) -> None:
        for path in paths:
            path.unlink(missing_ok=True)
            for parent in path.parents:
                if parent == self.root or not parent.is_dir() or os.listdir(parent):  # noqa: PTH208
                    break
                parent.rmdir()

    def _package_place(self, package: Path, shown: str) -> Path:
        """Where a package belongs that is served by itself: it tells its own name and version."""
        with package.open("rb") as file:
            id_ = read_head(file, self._packages, shown).manifest.id
        return self.root / id_.name / f"{id_.version}{package.suffix}"


def _key(unit: ModelUnit) -> str:
    return f"{unit.path} {unit.version}"
