"""The table of transitions."""

import itertools
import re

import pytest

from penstock.core import status
from penstock.core.errors import Internal
from penstock.core.ids import ServableId
from penstock.core.status import VersionState
from penstock.lifecycle.state import TRANSITIONS, check_transition


def test_every_state_has_its_row() -> None:
    assert set(TRANSITIONS) == set(VersionState)


def test_an_illegal_transition_names_version_and_states() -> None:
    check_transition(ServableId("m", 1), VersionState.NEW, VersionState.LOADING)
    with pytest.raises(
        Internal, match=r"^'m' version 1 cannot go from state 'new' to state 'ready'$"
    ):
        check_transition(ServableId("m", 1), VersionState.NEW, VersionState.READY)


def test_the_drawing_says_what_the_table_says() -> None:
    """The drawing of core/status.py: one chain, and FAILED hanging from LOADING."""
    drawing = status.VersionState.__doc__ or ""
    chain = next(line for line in drawing.splitlines() if line.strip().startswith("NEW ->"))
    states = [VersionState[name] for name in re.findall(r"[A-Z]+", chain)]
    drawn = set(itertools.pairwise(states))
    drawn |= {
        (VersionState.LOADING, VersionState.FAILED),
        (VersionState.FAILED, VersionState.LOADING),
    }
    assert "+-> FAILED -> LOADING" in drawing
    assert drawn == {(old, new) for old, news in TRANSITIONS.items() for new in news}
