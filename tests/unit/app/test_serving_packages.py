"""Packages served: by themselves, in a repository, with and without trusted keys."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

import penstock
from penstock.app.packing import PackOptions, pack
from penstock.core.errors import ConfigError, LoadFailed
from tests.unit.repository.fake_disk import write
from tests.unit.repository.packed import save_keys

SHOUT = """
from penstock import Model


class Shout(Model):
    def load(self, context):
        self.ending = (context.path / "ending.txt").read_text()

    def predict(self, text: list[str]) -> list[str]:
        return [item.upper() + self.ending for item in text]
"""


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def make(root: Path, version: int, ending: str, **options: Any) -> Path:
    folder = root / f"source/shout/{version}"
    write(folder / "model.py", SHOUT)
    write(folder / "ending.txt", ending)
    return pack(folder, root / f"{version}.pst", PackOptions(check=False, **options))


def unpacked(cache: Path) -> list[Path]:
    """What is in the cache beside locks."""
    return [path for path in cache.iterdir() if path.suffix != ".lock"]


async def answer(*paths: Path, settings: dict[str, Any]) -> str:
    import numpy as np

    async with penstock.serving(*paths, settings=settings) as models:
        outputs = await models.infer("shout", text=np.array([b"a"], object))
        (text,) = next(iter(outputs.values()))
        assert isinstance(text, bytes)
        return text.decode()


async def test_a_package_by_itself_serves(tmp_path: Path, cache: Path) -> None:
    package = make(tmp_path, 5, "!")
    assert await answer(package, settings={"packages.cache": str(cache)}) == "A!"
    assert len(unpacked(cache)) == 1


async def test_the_newest_version_serves_whatever_its_form(tmp_path: Path, cache: Path) -> None:
    write(tmp_path / "models/shout/1/model.py", SHOUT)
    write(tmp_path / "models/shout/1/ending.txt", "1")
    make(tmp_path, 2, "2").rename(tmp_path / "models/shout/2.pst")
    settings = {"packages.cache": str(cache)}
    assert await answer(tmp_path / "models", settings=settings) == "A2"
    write(tmp_path / "models/shout/3/model.py", SHOUT)
    write(tmp_path / "models/shout/3/ending.txt", "3")
    assert await answer(tmp_path / "models", settings=settings) == "A3"


async def test_a_changed_cache_is_never_served(
    tmp_path: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    package = make(tmp_path, 5, "!")
    settings = {"packages.cache": str(cache)}
    assert await answer(package, settings=settings) == "A!"
    (folder,) = unpacked(cache)
    (folder / "ending.txt").chmod(0o644)
    (folder / "ending.txt").write_text("?")
    with caplog.at_level(logging.WARNING):
        assert await answer(package, settings=settings) == "A!"
    assert "changed or is incomplete" in caplog.text


async def test_a_trusted_key_decides(tmp_path: Path, cache: Path) -> None:
    private, public = save_keys(tmp_path)
    settings = {"packages.cache": str(cache), "packages.trusted_keys": str(public)}
    signed = make(tmp_path, 5, "!", sign_key=private)
    assert await answer(signed, settings=settings) == "A!"
    unsigned = make(tmp_path, 6, "?")
    with pytest.raises(ConfigError, match="not signed"):
        await answer(unsigned, settings=settings)
    (tmp_path / "models/shout").mkdir(parents=True)
    unsigned.rename(tmp_path / "models/shout/6.pst")
    with pytest.raises(LoadFailed, match="not signed"):
        await answer(tmp_path / "models", settings=settings)
    assert len(unpacked(cache)) == 1


async def test_nothing_but_signed_packages_where_that_is_required(
    tmp_path: Path, cache: Path
) -> None:
    private, public = save_keys(tmp_path)
    settings = {"packages.cache": str(cache), "packages.trusted_keys": str(public)}
    required = {**settings, "packages.require_signed": True}
    signed = make(tmp_path, 5, "!", sign_key=private)
    folder = tmp_path / "source/shout"
    assert await answer(folder, settings=settings) == "A!"
    for path in (folder, folder / "5", folder / "5/model.py", tmp_path / "source"):
        with pytest.raises(
            LoadFailed, match=r"' version \d: the (file|folder) .* is no signed pack"
        ):
            await answer(path, settings=required)
    assert await answer(signed, settings=required) == "A!"


async def test_signatures_that_nobody_can_check_stop_the_server(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"packages\.require_signed: .*packages\.trusted_keys"):
        await answer(make(tmp_path, 5, "!"), settings={"packages.require_signed": True})


async def test_a_key_that_cannot_be_read_stops_the_server_at_once(
    tmp_path: Path, cache: Path
) -> None:
    settings = {"packages.cache": str(cache), "packages.trusted_keys": "none.pem"}
    with pytest.raises(ConfigError, match=r"none\.pem: key cannot be read"):
        await answer(make(tmp_path, 5, "!"), settings=settings)


async def test_damage_is_found_before_a_line_of_the_model_runs(tmp_path: Path, cache: Path) -> None:
    package = make(tmp_path, 5, "!")
    content = package.read_bytes().replace(b"class Shout", b"class Shoot")
    package.write_bytes(content)
    with pytest.raises(LoadFailed, match="damaged"):
        await answer(package, settings={"packages.cache": str(cache)})
    assert unpacked(cache) == []


async def test_limits_of_the_settings_hold(tmp_path: Path, cache: Path) -> None:
    settings = {"packages.cache": str(cache), "packages.max_files": 1}
    with pytest.raises(ConfigError, match="holds 2 files, the limit is 1"):
        await answer(make(tmp_path, 5, "!"), settings=settings)
