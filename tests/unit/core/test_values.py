"""Ids, deadlines, clocks, resources, hints."""

import math
from typing import get_args

import pytest

from penstock import Rows
from penstock.core.clock import SystemClock
from penstock.core.deadline import Deadline
from penstock.core.errors import InvalidArgument
from penstock.core.ids import LATEST, ServableId, VersionChoice
from penstock.core.messages import InferRequest, Timeline
from penstock.core.model import TensorHint
from penstock.core.resources import ResourceEstimate


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("", LATEST),
        ("0", VersionChoice(version=0)),
        ("3", VersionChoice(version=3)),
        ("003", VersionChoice(version=3)),
        ("9" * 18, VersionChoice(version=10**18 - 1)),
        ("9" * 19, VersionChoice(label="9" * 19)),
        ("stable", VersionChoice(label="stable")),
        ("-1", VersionChoice(label="-1")),
        ("1.5", VersionChoice(label="1.5")),
        ("²", VersionChoice(label="²")),
    ],
)
def test_the_choice_of_a_version(text: str, choice: VersionChoice) -> None:
    assert VersionChoice.parse(text) == choice


def test_a_servable_says_its_name() -> None:
    assert str(ServableId("m", 3)) == "'m' version 3"


def test_a_deadline() -> None:
    deadline = Deadline.after(1.5, 1_000)
    assert deadline.at_ns == 1_500_001_000
    assert not deadline.expired(deadline.at_ns - 1)
    assert deadline.expired(deadline.at_ns)
    assert deadline.remaining_s(deadline.at_ns - 500_000_000) == 0.5
    assert deadline.remaining_s(deadline.at_ns + 500_000_000) == -0.5


@pytest.mark.parametrize("timeout_s", [math.inf, -math.inf, math.nan, 1e300])
def test_a_deadline_that_no_clock_reaches(timeout_s: float) -> None:
    with pytest.raises(InvalidArgument, match="expected a finite number of seconds, got"):
        Deadline.after(timeout_s, 1_000)


def test_the_systems_clock() -> None:
    clock = SystemClock()
    assert clock.monotonic_ns() <= clock.monotonic_ns()
    assert clock.wall_ns() > 1_600_000_000_000_000_000


def test_resources() -> None:
    assert ResourceEstimate(1) + ResourceEstimate(2) == ResourceEstimate(3)
    assert ResourceEstimate(3).fits(ResourceEstimate(3))
    assert not ResourceEstimate(4).fits(ResourceEstimate(3))
    with pytest.raises(TypeError):
        ResourceEstimate(1) + 1


def test_requests_share_nothing_by_default() -> None:
    one, other = InferRequest("m", ()), InferRequest("m", ())
    assert one.parameters is not other.parameters
    assert one.timeline is not other.timeline
    assert Timeline(5).started_ns == 5


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (Rows["FP32"], TensorHint("FP32", ())),
        (Rows["FP32", 64], TensorHint("FP32", (64,))),
        (Rows["INT64", -1, 3], TensorHint("INT64", (-1, 3))),
    ],
)
def test_rows(hint: object, expected: TensorHint) -> None:
    assert get_args(hint)[1] == expected


def test_a_text_about_a_version_names_it_once() -> None:
    servable = ServableId("m", 2)
    assert servable.says("no such file") == "'m' version 2: no such file"
    assert servable.says(servable.says("no such file")) == "'m' version 2: no such file"
