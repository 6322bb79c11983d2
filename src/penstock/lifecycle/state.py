"""The life of a version as a table: which state may follow which."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from penstock.core.errors import Internal
from penstock.core.ids import ServableId
from penstock.core.status import VersionState

TRANSITIONS: Final[Mapping[VersionState, frozenset[VersionState]]] = MappingProxyType(
    {
        VersionState.NEW: frozenset({VersionState.LOADING}),
        VersionState.LOADING: frozenset({VersionState.READY, VersionState.FAILED}),
        VersionState.READY: frozenset({VersionState.UNLOADING}),
        VersionState.UNLOADING: frozenset({VersionState.UNLOADED}),
        VersionState.UNLOADED: frozenset(),
        VersionState.FAILED: frozenset({VersionState.LOADING}),
    }
)
"""State to the states that may follow it; drawn in ``core/status.py``."""


def check_transition(servable_id: ServableId, old: VersionState, new: VersionState) -> None:
    """Check that ``new`` may follow ``old``.

    Raises:
        Internal: the table does not hold this transition; our own fault.
    """
    if new not in TRANSITIONS[old]:
        raise Internal(f"{servable_id} cannot go from state '{old}' to state '{new}'")
