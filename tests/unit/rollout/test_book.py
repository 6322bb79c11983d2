"""What was taken holds at once, for the router, the versions and those who listen."""

from __future__ import annotations

import pytest

from penstock.rollout.book import RoutingBook
from penstock.rollout.state import ModelRouting, Phase
from penstock.rollout.subjects import plain_routing, read_routing
from penstock.router.counts import StageCounts
from tests.unit.rollout.rollout_plant import Table, good
from tests.unit.rollout.rollouts import a_routing, a_state


@pytest.fixture
def held() -> dict[str, frozenset[int]]:
    return {}


@pytest.fixture
def book(held: dict[str, frozenset[int]]) -> RoutingBook:
    return RoutingBook(Table(good), held.__setitem__)


def test_what_is_taken_holds_when_take_returns(
    book: RoutingBook, held: dict[str, frozenset[int]]
) -> None:
    told: list[tuple[str, ModelRouting | None, bool]] = []
    book.listen(lambda name, before, now: told.append((name, before, book.routing(name) is now)))
    warm, done = a_routing(a_state(Phase.WARM)), a_routing(a_state(Phase.DONE))
    book.take("digits", warm)
    assert held == {"digits": {1, 2}}
    assert book.stage("digits") == "digits-1/warm/0"
    book.take("digits", done)
    assert held == {"digits": {2}}
    assert book.stage("digits") == ""
    book.take("digits", ModelRouting())
    assert held == {"digits": frozenset()}
    assert book.names() == ["digits"]
    assert told == [("digits", None, True), ("digits", warm, True), ("digits", done, True)]


def test_nothing_is_known_of_other_models(book: RoutingBook) -> None:
    assert (book.routing("x"), book.stage("x"), book.counts("x"), book.ended("x")) == (
        (None, "", None, None)
    )


def test_the_counts_of_a_stage_that_ends_are_given_once(book: RoutingBook) -> None:
    book.take("digits", a_routing(a_state(Phase.CANARY)))
    counted = book.counts("digits")
    book.take("digits", a_routing(a_state(Phase.CANARY)))
    assert book.ended("digits") is None
    book.take("digits", a_routing(a_state(Phase.ROLLED_BACK)))
    assert counted is not None
    assert counted.stage == "digits-1/canary/0"
    assert book.ended("digits") == counted
    assert book.ended("digits") is None
    assert book.counts("digits") != StageCounts("digits-1/canary/0")


@pytest.mark.parametrize("phase", list(Phase))
def test_a_routing_is_read_as_it_was_written(phase: Phase) -> None:
    routing = a_routing(a_state(phase))
    assert read_routing(plain_routing(routing)) == routing
    assert read_routing(None) == ModelRouting()
