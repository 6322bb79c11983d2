"""The policies as tables: each case says the situation and the expected act."""

import pytest

from penstock.core.status import VersionState
from penstock.lifecycle.transition_policy import (
    TRANSITION_POLICIES,
    Act,
    Action,
    VersionSnapshot,
    availability_preserving,
    resource_preserving,
)

NEW, LOADING, READY = VersionState.NEW, VersionState.LOADING, VersionState.READY
UNLOADING, FAILED = VersionState.UNLOADING, VersionState.FAILED


def stream(*rows: tuple[int, str, VersionState, bool]) -> list[VersionSnapshot]:
    """(version, revision, state, is_aspired), serials counted from 1."""
    return [VersionSnapshot(v, r, i, s, a, s is NEW) for i, (v, r, s, a) in enumerate(rows, 1)]


def load(serial: int) -> Action:
    return Action(Act.LOAD, serial)


def unload(serial: int) -> Action:
    return Action(Act.UNLOAD, serial)


AVAILABILITY = [
    ("nothing there, nothing to do", stream(), None),
    ("one new: load it", stream((1, "a", NEW, True)), load(1)),
    ("two new: the larger number first", stream((2, "a", NEW, True), (1, "a", NEW, True)), load(1)),
    ("all is well", stream((1, "a", READY, True)), None),
    (
        "new one waits beside an old one: load",
        stream((1, "a", READY, False), (2, "a", NEW, True)),
        load(2),
    ),
    (
        "new one loads: the old one stays",
        stream((1, "a", READY, False), (2, "a", LOADING, True)),
        None,
    ),
    (
        "new one is ready: unload the old",
        stream((1, "a", READY, False), (2, "a", READY, True)),
        unload(1),
    ),
    (
        "new one failed: the old one stays",
        stream((1, "a", READY, False), (2, "a", FAILED, True)),
        None,
    ),
    ("nothing aspired: unload", stream((1, "a", READY, False)), unload(1)),
    (
        "nothing aspired: the smallest first",
        stream((2, "a", READY, False), (1, "a", READY, False)),
        unload(2),
    ),
    ("a load that runs is not stopped", stream((1, "a", LOADING, False)), None),
    (
        "its revision changed: load the new one",
        stream((1, "a", READY, False), (1, "b", NEW, True)),
        load(2),
    ),
    (
        "new revision loads: the old one stays",
        stream((1, "a", READY, False), (1, "b", LOADING, True)),
        None,
    ),
    (
        "new revision is ready: unload the old",
        stream((1, "a", READY, False), (1, "b", READY, True)),
        unload(1),
    ),
    (
        "new revision failed: the old one stays",
        stream((1, "a", READY, False), (1, "b", FAILED, True)),
        None,
    ),
    (
        "a number waits for its own replacement, though another number is ready",
        stream((1, "a", READY, False), (1, "b", LOADING, True), (2, "a", READY, True)),
        None,
    ),
    (
        "a number that is dropped goes when any aspired one is ready",
        stream((1, "a", READY, False), (2, "a", READY, True), (3, "a", LOADING, True)),
        unload(1),
    ),
    (
        "of two stale revisions the older goes, the younger stands in",
        stream((1, "a", READY, False), (1, "b", READY, False), (1, "c", LOADING, True)),
        unload(1),
    ),
    (
        "rolled back: the younger stale revision goes, the aspired older one is ready",
        stream((1, "a", READY, True), (1, "b", READY, False)),
        unload(2),
    ),
]

RESOURCE = [
    ("one new: load it", stream((1, "a", NEW, True)), load(1)),
    ("unload the old one first", stream((1, "a", READY, False), (2, "a", NEW, True)), unload(1)),
    (
        "the old one is still on its way",
        stream((1, "a", UNLOADING, False), (2, "a", NEW, True)),
        None,
    ),
    ("an old one still loads", stream((1, "a", LOADING, False), (2, "a", NEW, True)), None),
    ("the old one is gone: load", stream((2, "a", NEW, True)), load(1)),
    (
        "its revision changed: unload the old",
        stream((1, "a", READY, False), (1, "b", NEW, True)),
        unload(1),
    ),
    ("ready and aspired stays", stream((1, "a", READY, True), (2, "a", NEW, True)), load(2)),
    (
        "known to be broken: make no room for it",
        stream((1, "a", READY, False), (2, "a", FAILED, True)),
        None,
    ),
    ("nothing aspired: unload", stream((1, "a", READY, False)), unload(1)),
]


@pytest.mark.parametrize(
    ("situation", "rows", "act"), AVAILABILITY, ids=lambda v: v if isinstance(v, str) else ""
)
def test_availability_preserving(
    situation: str, rows: list[VersionSnapshot], act: Action | None
) -> None:
    assert availability_preserving(rows) == act, situation


@pytest.mark.parametrize(
    ("situation", "rows", "act"), RESOURCE, ids=lambda v: v if isinstance(v, str) else ""
)
def test_resource_preserving(
    situation: str, rows: list[VersionSnapshot], act: Action | None
) -> None:
    assert resource_preserving(rows) == act, situation


def test_a_failed_one_is_loaded_again_only_when_it_may_be() -> None:
    failed = VersionSnapshot(1, "a", 1, FAILED, is_aspired=True)
    for policy in TRANSITION_POLICIES.values():
        assert policy([failed]) is None
        assert policy([failed._replace(may_load=True)]) == load(1)
        assert policy([failed._replace(may_load=True, is_aspired=False)]) is None


def test_room_is_made_for_a_failed_one_that_may_be_tried_again() -> None:
    rows = [
        VersionSnapshot(1, "a", 1, READY, is_aspired=False),
        VersionSnapshot(2, "a", 2, FAILED, is_aspired=True, may_load=True),
    ]
    assert resource_preserving(rows) == unload(1)
    assert availability_preserving(rows) == load(2)
