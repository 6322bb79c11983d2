"""TransitionPolicy: in which order the versions of one model are loaded and unloaded. Pure.

A policy looks at a snapshot of all versions of one model and names at most one action. It is
asked again after each action, so it needs no memory: what it says depends on the snapshot alone.

Source: TensorFlow Serving ``core/aspired_version_policy.h``, extended by revisions.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from penstock.core.status import VersionState


class VersionSnapshot(NamedTuple):
    """One version of a model at this moment.

    Attributes:
        version: its number.
        revision: the fingerprint of its artifact; the same number with another revision is
            a replacement.
        serial: larger is younger; unique within the model.
        state: where it is in its life.
        is_aspired: whether it should serve.
        may_load: whether a load may be started now: a NEW one must not until its loader is free,
            a FAILED one not unless there is reason to try again.
    """

    version: int
    revision: str
    serial: int
    state: VersionState
    is_aspired: bool
    may_load: bool = False

    @property
    def is_loadable(self) -> bool:
        """Whether it should be loaded, and may be."""
        waits = self.state in (VersionState.NEW, VersionState.FAILED)
        return self.is_aspired and waits and self.may_load

    @property
    def is_unwanted(self) -> bool:
        """Whether it is ready although it should serve no longer."""
        return self.state is VersionState.READY and not self.is_aspired


class Act(enum.Enum):
    """What to do with a version."""

    LOAD = "load"
    UNLOAD = "unload"


class Action(NamedTuple):
    """The next thing to do.

    Attributes:
        act: what.
        serial: with which version of the snapshot.
    """

    act: Act
    serial: int


Snapshot: TypeAlias = Sequence[VersionSnapshot]
TransitionPolicy: TypeAlias = Callable[[Snapshot], Action | None]


def availability_preserving(snapshot: Snapshot) -> Action | None:
    """Load what is new before what is old is unloaded; needs room for both.

    Law: a ready version is unloaded only when it is not aspired and something ready stands in
    for it: another revision of its number where that number is aspired, else any aspired version
    of the model, or when nothing of the model is aspired any more. So a new version that fails
    leaves the old one serving.

    Returns:
        the next action; None: nothing to do until the snapshot changes.
    """
    unload = [one for one in snapshot if one.is_unwanted and _has_stand_in(one, snapshot)]
    if unload:
        return Action(Act.UNLOAD, _oldest(unload))
    return _load_newest(snapshot)


def resource_preserving(snapshot: Snapshot) -> Action | None:
    """Unload what is old before what is new is loaded; leaves a gap, needs room for one.

    Law: nothing is loaded while a version that is not aspired still holds resources. Where
    everything aspired has failed for good there is nothing to make room for, and the old
    version stays.

    Returns:
        the next action; None: nothing to do until the snapshot changes.
    """
    aspired = [one for one in snapshot if one.is_aspired]
    is_hopeless = bool(aspired) and all(
        one.state is VersionState.FAILED and not one.may_load for one in aspired
    )
    unload = [one for one in snapshot if one.is_unwanted]
    if unload and not is_hopeless:
        return Action(Act.UNLOAD, _oldest(unload))
    holding = (VersionState.LOADING, VersionState.READY, VersionState.UNLOADING)
    if any(one.state in holding and not one.is_aspired for one in snapshot):
        return None
    return _load_newest(snapshot)


TRANSITION_POLICIES: Final[Mapping[str, TransitionPolicy]] = MappingProxyType(
    {
        "availability_preserving": availability_preserving,
        "resource_preserving": resource_preserving,
    }
)
"""The policies by the name a setting may give."""


def _has_stand_in(old: VersionSnapshot, snapshot: Snapshot) -> bool:
    """Whether unloading ``old``, ready but not aspired, leaves no gap."""
    peers = [one for one in snapshot if one.version == old.version and one.serial != old.serial]
    if any(
        one.state is VersionState.READY and (one.is_aspired or one.serial > old.serial)
        for one in peers
    ):
        return True
    if any(one.is_aspired for one in peers):
        return False  # its replacement is not ready (yet)
    aspired = [one for one in snapshot if one.is_aspired]
    return not aspired or any(one.state is VersionState.READY for one in aspired)


def _oldest(snapshots: Snapshot) -> int:
    return min(snapshots, key=lambda one: (one.version, one.serial)).serial


def _load_newest(snapshot: Snapshot) -> Action | None:
    loadable = [one for one in snapshot if one.is_loadable]
    if not loadable:
        return None
    newest = max(loadable, key=lambda one: (one.version, one.serial))
    return Action(Act.LOAD, newest.serial)
