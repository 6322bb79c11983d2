"""Short ways to say what should serve, for the tests of this folder."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from penstock.core.errors import PenstockError
from penstock.core.ids import ServableId, VersionChoice
from penstock.core.loader import Loader
from penstock.core.resources import ResourceEstimate
from penstock.core.source import AspiredModel, AspiredVersion
from penstock.core.status import VersionStatus
from penstock.lifecycle.handle import ServableHandle
from penstock.lifecycle.manager import Manager, ManagerOptions
from penstock.repository.artifact import ArtifactRef, BadArtifact, StoredModel
from penstock.repository.manifest import Manifest, VersionPolicyFields
from penstock.testing.fake_clock import FakeClock

MIB = 1024 * 1024


def version(name: str, number: int, loader: Loader | None, revision: str = "a") -> AspiredVersion:
    return AspiredVersion(ServableId(name, number), revision, loader=loader)


def model(
    name: str,
    loaders: Mapping[int, Loader],
    revision: str = "a",
    labels: Mapping[str, int] | None = None,
) -> AspiredModel:
    versions = tuple(version(name, number, one, revision) for number, one in loaders.items())
    return AspiredModel(name, versions, labels or {})


@dataclass
class World:
    """A Manager on a clock stepped by hand, with memory set by hand and a diary of changes."""

    options: ManagerOptions = field(default_factory=ManagerOptions)
    free_bytes: int = 10**12
    diary: list[VersionStatus] = field(default_factory=list)
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.manager = Manager(
            options=self.options,
            clock=self.clock,
            available=lambda: ResourceEstimate(self.free_bytes),
            on_change=self.diary.append,
            sleep=self.clock.sleep,
        )

    async def serve(self, *models: AspiredModel) -> None:
        self.manager.set_aspired(models)
        await asyncio.wait_for(self.manager.wait_settled(), 5)

    def states(self, name: str | None = None) -> dict[int, str]:
        return {row.id.version: row.state.value for row in self.manager.statuses(name)}

    def ask(self, name: str, *, number: int | None = None, label: str | None = None) -> int:
        with self.manager.handle(name, VersionChoice(number, label)) as handle:
            return handle.id.version

    def lend(self, name: str, number: int | None = None) -> ServableHandle:
        return self.manager.handle(name, VersionChoice(number))

    def changes(self) -> list[str]:
        return [f"{row.id.version}{row.revision} {row.state.value}" for row in self.diary]


async def turn(times: int = 20) -> None:
    """Let everything that can run, run."""
    for _ in range(times):
        await asyncio.sleep(0)


def artifact(name: str, number: int, manifest: Manifest, revision: str = "a") -> ArtifactRef:
    root = Path("/models") / name / str(number)
    return ArtifactRef(
        ServableId(name, number), root / "model.onnx", root, "onnx", None, manifest, 8, revision
    )


def stored(
    name: str,
    *numbers: int,
    revision: str = "a",
    bad: Mapping[int, PenstockError] | None = None,
    error: PenstockError | None = None,
    latest: int = 1,
    labels: Mapping[str, int] | None = None,
) -> StoredModel:
    manifest = Manifest(
        version_policy=VersionPolicyFields(latest=latest), labels=dict(labels or {})
    )
    versions: dict[int, ArtifactRef | BadArtifact] = {
        number: artifact(name, number, manifest, revision) for number in numbers
    }
    for number, reason in (bad or {}).items():
        versions[number] = BadArtifact(ServableId(name, number), revision, reason)
    ordered = tuple(versions[number] for number in sorted(versions))
    return StoredModel(name, manifest, ordered, error)
