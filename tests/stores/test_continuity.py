"""What a process remembers of its store."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.errors import StoreError
from penstock.stores.continuity import Continuity


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_what_was_lost_once_is_lost_for_good(revisions: list[int]) -> None:
    continuity = Continuity("the store", is_new=True)
    highest, has_lost = 0, False
    for revision in revisions:
        has_lost = has_lost or revision < highest
        highest = max(highest, revision)
        if has_lost:
            with pytest.raises(StoreError, match="the store has lost changes"):
                continuity.check("id", revision, continuity.revision)
        else:
            continuity.check("id", revision, continuity.revision)


def test_another_store_in_its_place() -> None:
    continuity = Continuity("the store", is_new=True)
    assert continuity.may_make
    continuity.check("first", 3, 0)
    assert not continuity.may_make
    for identity in ("second", ""):
        with pytest.raises(StoreError, match="emptied or replaced"):
            continuity.check(identity, 9, 3)
    continuity.check("first", 3, 3)  # it is back
    assert continuity.identity == "first"


def test_nothing_there() -> None:
    continuity = Continuity("the store", is_new=False)
    assert not continuity.may_make
    with pytest.raises(StoreError, match="is not there"):
        continuity.check("", 0, 0)


def test_answers_that_overtake_each_other_are_no_loss() -> None:
    continuity = Continuity("the store", is_new=True)
    early = late = continuity.revision
    continuity.check("id", 8, late)
    continuity.check("id", 7, early)
    assert continuity.revision == 8
    with pytest.raises(StoreError, match="it is at 7 and was at 8"):
        continuity.check("id", 7, continuity.revision)
