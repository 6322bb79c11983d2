"""Settle: decide which of the things found on disk are complete. Pure; reads no clock or disk.

A version that is being copied looks, at every moment, like a version. What tells it apart is that
it keeps changing. So a thing counts once it has been quiet for ``settle_s``; until then what was
told of it before stays the truth. The same holds for a thing that vanished: a folder swapped by
two renames is away for a moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from penstock.repository.artifact import ArtifactRef, BadArtifact, StoredModel
from penstock.repository.model_look import ModelLook, VersionLook

Key = tuple[str, int | None]
"""A version of a model, or (None) its manifest and folder."""


class Instant(msgspec.Struct, frozen=True):
    """A moment, on both clocks.

    Attributes:
        wall_ns: wall time; to compare with times of files.
        monotonic_ns: to tell how long a thing has been watched.
    """

    wall_ns: int
    monotonic_ns: int


class Sighting(msgspec.Struct, frozen=True):
    """Since when a thing looks as it does.

    Attributes:
        mark: its fingerprint; None: it is not there.
        since_ns: monotonic time of the first look that found it so.
        is_initial: whether that was the very first look: then the times of its files alone say
            how long it has been quiet.
    """

    mark: str | None
    since_ns: int
    is_initial: bool


class Memory(msgspec.Struct, frozen=True):
    """What is carried from one look to the next.

    Attributes:
        told: the truth as it was told last, by model name.
        seen: since when each thing looks as it does; empty before the first look.
        is_first: whether no look was taken yet.
    """

    told: Mapping[str, StoredModel] = msgspec.field(default_factory=dict)
    seen: Mapping[Key, Sighting] = msgspec.field(default_factory=dict)
    is_first: bool = True


class Verdict(msgspec.Struct, frozen=True):
    """What a look comes to.

    Attributes:
        memory: what to carry on; ``memory.told`` is the new truth.
        wait_s: when to look again because something is held back, in seconds; None: nothing is.
    """

    memory: Memory
    wait_s: float | None


def settle(
    looks: Sequence[ModelLook],
    memory: Memory,
    now: Instant,
    *,
    settle_s: float,
    kept: frozenset[str] = frozenset(),
) -> Verdict:
    """Decide what is true after a look.

    Laws: a version is told only if its newest file is at least ``settle_s`` old and, unless the
    first look found it so, it looked the same for ``settle_s``. What is held back keeps what was
    told of it before. Once nothing changes, everything is told after at most ``settle_s`` more.
    A file dated in the future counts by how long it looked the same.

    Args:
        looks: every model found, no two of one name.
        memory: of the look before.
        now: the moment of this look.
        settle_s: how long is quiet enough; 0: nothing is held back.
        kept: models that could not be looked at; they stay as they were told.
    """
    judge = _Judge(memory, now, settle_s)
    by_name = {look.name: look for look in looks}
    told: dict[str, StoredModel] = {}
    for name in sorted(memory.told.keys() | by_name.keys()):
        before = memory.told.get(name)
        model = before if name in kept else _model(name, by_name.get(name), before, judge)
        if model is not None:
            told[name] = model
    judge.seen.update({key: s for key, s in memory.seen.items() if key[0] in kept})
    return Verdict(Memory(told, judge.seen, is_first=False), min(judge.waits_s, default=None))


def wait_s(sighting: Sighting, newest_ns: int, now: Instant, settle_s: float) -> float:
    """How long a thing must still be quiet before it counts, in seconds; 0: it counts.

    Args:
        sighting: since when it looks as it does.
        newest_ns: wall time of its newest file; of no matter when it is not there.
        now: this moment.
        settle_s: how long is quiet enough.
    """
    age_s = (now.wall_ns - newest_ns) / 1e9
    quiet_wait_s = max(0.0, settle_s - (now.monotonic_ns - sighting.since_ns) / 1e9)
    if sighting.mark is None or age_s < 0:
        return quiet_wait_s
    age_wait_s = max(0.0, settle_s - age_s)
    return age_wait_s if sighting.is_initial else max(age_wait_s, quiet_wait_s)


class _Judge:
    """One look's decisions on single things.

    Attributes:
        seen: the sightings to carry on.
        waits_s: how long each thing held back must still be quiet.
    """

    def __init__(self, memory: Memory, now: Instant, settle_s: float) -> None:
        self._memory = memory
        self._now = now
        self._settle_s = settle_s
        self.seen: dict[Key, Sighting] = {}
        self.waits_s: list[float] = []

    def is_held(self, key: Key, mark: str | None, newest_ns: int = 0) -> bool:
        """Whether a thing is held back, because it is not yet quiet; notes that it was seen."""
        sighting = self._memory.seen.get(key)
        if sighting is None or sighting.mark != mark:
            sighting = Sighting(mark, self._now.monotonic_ns, self._memory.is_first)
        remaining_s = wait_s(sighting, newest_ns, self._now, self._settle_s)
        if mark is not None or remaining_s > 0:
            self.seen[key] = sighting
        if remaining_s > 0:
            self.waits_s.append(remaining_s)
        return remaining_s > 0

    def carry(self, name: str) -> None:
        """Keep the sightings of a model's versions, which this look could not see."""
        for key, sighting in self._memory.seen.items():
            if key[0] == name and key[1] is not None:
                self.seen[key] = sighting


def _model(
    name: str, look: ModelLook | None, before: StoredModel | None, judge: _Judge
) -> StoredModel | None:
    """What is true of one model; None: there is none."""
    if look is None:
        return before if judge.is_held((name, None), None) else None
    is_held = judge.is_held((name, None), look.mark, look.newest_ns)
    if look.error is not None:
        judge.carry(name)
        return before if is_held else _failed(look, before)
    versions = _versions(look, before, judge)
    is_all_held = bool(look.versions) and not versions
    if is_held or (before is None and is_all_held):
        return before
    return StoredModel(name, look.manifest, versions)


def _failed(look: ModelLook, before: StoredModel | None) -> StoredModel:
    """A model with an error: the last good state, less the versions that are gone."""
    if before is None:
        return StoredModel(look.name, look.manifest, (), look.error)
    present = look.present
    versions = tuple(v for v in before.versions if present is None or v.id.version in present)
    is_same = before.error is not None and str(before.error) == str(look.error)
    error = before.error if is_same else look.error
    return StoredModel(look.name, before.manifest, versions, error)


def _versions(
    look: ModelLook, before: StoredModel | None, judge: _Judge
) -> tuple[ArtifactRef | BadArtifact, ...]:
    """Each version as it is, or as it was where it is held back; ascending."""
    told = {v.id.version: v for v in before.versions} if before else {}
    found = {v.found.id.version: v for v in look.versions}
    result = []
    for number in sorted(told.keys() | found.keys()):
        version = _version((look.name, number), found.get(number), told.get(number), judge)
        if version is not None:
            result.append(version)
    return tuple(result)


def _version(
    key: Key,
    look: VersionLook | None,
    before: ArtifactRef | BadArtifact | None,
    judge: _Judge,
) -> ArtifactRef | BadArtifact | None:
    if look is None:
        return before if judge.is_held(key, None) else None
    is_held = judge.is_held(key, look.found.revision, look.newest_ns)
    # An error is an equal one only by its revision; the object that was told is kept.
    is_same = isinstance(before, BadArtifact) and before.revision == look.found.revision
    return before if is_held or is_same else look.found
