"""A manifest is parsed again only when its file changed."""

from __future__ import annotations

from pathlib import Path

import pytest

import penstock.repository.manifest_cache as manifest_cache
from penstock.repository.listing import stat_entry
from penstock.repository.manifest_cache import ManifestCache, ReadManifest

from .fake_disk import FakeClock, write


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every path that was read."""
    seen: list[Path] = []
    real = manifest_cache.read_manifest

    def read(path: Path) -> object:
        seen.append(path)
        return real(path)

    monkeypatch.setattr(manifest_cache, "read_manifest", read)
    return seen


def look(cache: ManifestCache, path: Path) -> ReadManifest:
    cache.start_look()
    return cache.read(path, stat_entry(path))


def test_an_unchanged_file_is_read_once(tmp_path: Path, reads: list[Path]) -> None:
    path = write(tmp_path / "model.yaml", "max_batch_size: 3")
    cache = ManifestCache(FakeClock().wall_ns)
    assert look(cache, path) is look(cache, path)
    assert len(reads) == 1


def test_a_changed_file_is_read_again(tmp_path: Path, reads: list[Path]) -> None:
    path = write(tmp_path / "model.yaml", "max_batch_size: 3")
    cache = ManifestCache(FakeClock().wall_ns)
    look(cache, path)
    write(path, "max_batch_size: 33")
    assert look(cache, path).manifest.max_batch_size == 33


def test_a_file_that_changed_just_now_is_not_remembered(tmp_path: Path, reads: list[Path]) -> None:
    path = write(tmp_path / "model.yaml", "max_batch_size: 3")
    clock = FakeClock(wall_ns=stat_entry(path).newest_ns + 1_999_999_999)
    cache = ManifestCache(clock.wall_ns)
    look(cache, path)
    look(cache, path)
    clock.step(0.1)
    look(cache, path)
    look(cache, path)
    assert len(reads) == 3


def test_what_a_look_did_not_read_is_forgotten(tmp_path: Path, reads: list[Path]) -> None:
    path = write(tmp_path / "model.yaml", "max_batch_size: 3")
    cache = ManifestCache(FakeClock().wall_ns)
    look(cache, path)
    cache.start_look()
    look(cache, path)
    assert len(reads) == 2


def test_a_manifest_that_is_no_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.mkdir()
    read = look(ManifestCache(FakeClock().wall_ns), path)
    assert read.error is not None
    assert read.error.message == f"{path}: not a regular file"
