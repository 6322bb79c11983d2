"""Paths become a source: what a server without URLs does not pay for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from penstock.app.model_source import model_source
from penstock.app.settings import ModelCacheSettings, Settings
from penstock.core.clock import SystemClock
from penstock.core.errors import ConfigError
from penstock.repository.filesystem_source import FileSystemSource
from penstock.repository.package_options import PackageIntake

PACKAGES = PackageIntake(Path("packages"))


def test_paths_alone_need_nothing_of_stores() -> None:
    source = model_source(["models"], Settings(), PACKAGES, SystemClock())
    assert isinstance(source, FileSystemSource)
    code = (
        "import sys, penstock.app.build;"
        "print([name for name in sys.modules if 'repository.remote' in name or name == 'fsspec'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_one_url_among_paths(tmp_path: Path) -> None:
    from penstock.repository.remote.mirrored_source import MirroredSource

    settings = Settings(model_cache=ModelCacheSettings(path=str(tmp_path / "cache")))
    source = model_source(["models", "s3://bucket/m"], settings, PACKAGES, SystemClock())
    assert isinstance(source, MirroredSource)
    assert not (tmp_path / "cache").exists()


def test_a_url_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ftp://: models cannot be fetched from there"):
        model_source(["ftp://host/m"], Settings(), PACKAGES, SystemClock())


def test_without_a_setting_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    from penstock.app.model_source import _cache_path

    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert _cache_path("") == Path("/somewhere/penstock/models")
