"""What the tests of the repository share: a clock to step, folders to fill, a target to ask."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from penstock.repository.artifact import ArtifactRef, BadArtifact, StoredModel

LONG_AGO_NS = 1_600_000_000_000_000_000


class FakeClock:
    """A clock that stands still until it is stepped."""

    def __init__(self, wall_ns: int = 2_000_000_000_000_000_000) -> None:
        self._wall_ns = wall_ns
        self._monotonic_ns = 0

    def monotonic_ns(self) -> int:
        return self._monotonic_ns

    def wall_ns(self) -> int:
        return self._wall_ns

    def step(self, seconds: float) -> None:
        self._wall_ns += int(seconds * 1e9)
        self._monotonic_ns += int(seconds * 1e9)


class FakeTarget:
    """Remembers what it was told and wakes who waits for a truth."""

    def __init__(self) -> None:
        self.told: list[list[StoredModel]] = []
        self._news = asyncio.Event()

    def set_aspired(self, models: Sequence[StoredModel]) -> None:
        self.told.append(list(models))
        self._news.set()

    @property
    def truth(self) -> dict[str, StoredModel]:
        return {model.name: model for model in self.told[-1]}

    async def until(
        self, is_true: Callable[[dict[str, StoredModel]], bool], timeout_s: float = 20.0
    ) -> dict[str, StoredModel]:
        """Wait until the truth is as asked for."""
        async with asyncio.timeout(timeout_s):
            while not (self.told and is_true(self.truth)):
                self._news.clear()
                await self._news.wait()
        return self.truth


def fill(root: Path, *paths: str, content: str = "x") -> Path:
    """Write small files below ``root``; a path that ends in ``/`` is an empty folder."""
    for path in paths:
        target = root / path
        if path.endswith("/"):
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
        os.utime(target, ns=(LONG_AGO_NS, LONG_AGO_NS))
    return root


def write(path: Path, text: str) -> Path:
    """Write one file, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def numbers(model: StoredModel) -> list[int]:
    """The versions of a model that can be loaded."""
    return [v.id.version for v in model.versions if isinstance(v, ArtifactRef)]


def only(models: Sequence[StoredModel]) -> ArtifactRef:
    """The one version of the one model."""
    (model,) = models
    (version,) = model.versions
    assert isinstance(version, ArtifactRef), version
    return version


def why(models: Sequence[StoredModel]) -> str:
    """Why the one version of the one model is bad."""
    (model,) = models
    (version,) = model.versions
    assert isinstance(version, BadArtifact), version
    return version.error.message
