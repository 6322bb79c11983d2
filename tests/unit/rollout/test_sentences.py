"""Numbers in sentences."""

from __future__ import annotations

import math

import pytest

from penstock.rollout.sentences import about, at_level, duration, ms, percent, points


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(0, "0 %"), (1, "100 %"), (0.0509, "5.09 %"), (0.00102, "0.102 %"), (1e-6, "0.0001 %")],
)
def test_percent(ratio: float, text: str) -> None:
    assert percent(ratio) == text


def test_points() -> None:
    assert [points(x) for x in (0.005, -0.005, 0)] == ["+0.5 points", "-0.5 points", "+0 points"]
    assert at_level(0.01 / 6) == "at the level 0.167 %"


def test_ms() -> None:
    assert [ms(x) for x in (0.0123, 1.5, 2e-5)] == ["12.3 ms", "1,500 ms", "0.02 ms"]
    assert ms(math.nan) == "unknown"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.1, "0.1 s"),
        (60, "60 s"),
        (600, "10 min"),
        (3600, "60 min"),
        (12_600, "3.5 h"),
        (172_800, "2 days"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0"), (7.2, "8"), (99, "99"), (4841, "4,900"), (97_900, "98,000")]
)
def test_about(count: float, text: str) -> None:
    assert about(count) == text
