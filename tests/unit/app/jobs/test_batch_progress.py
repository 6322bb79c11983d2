"""What is shown of a job while it runs: rates, time left, a line now and then."""

from __future__ import annotations

import pytest

from penstock.app.cli.batch_progress import Pace, PlainLines, duration
from penstock.jobs.batch.progress import Progress


class Clock:
    """A time that is set."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_the_rate_is_of_this_run_and_the_time_left_of_its_splits() -> None:
    clock = Clock()
    pace = Pace(clock)
    clock.now_s += 1
    assert pace.describe(Progress(10, 4, 4000, 1, 4000, 4000)) == (
        "4 of 10 splits, 4,000 rows, 0 rows/s, 1 dead"
    )
    clock.now_s += 9
    assert pace.describe(Progress(10, 6, 6000, 2, 4000, 6000)) == (
        "6 of 10 splits, 6,000 rows, 200 rows/s, about 0:20 left, 2 dead"
    )
    clock.now_s += 10
    assert pace.describe(Progress(10, 10, 10_000, 2, 4000, 10_000)).endswith("300 rows/s, 2 dead")


def test_rows_of_splits_under_way_count_for_the_time_left() -> None:
    clock = Clock()
    pace = Pace(clock)
    clock.now_s += 10
    told = pace.describe(Progress(4, 1, 1900, 0, rows_settled=1000))
    assert "190 rows/s, about 0:11 left" in told  # 2,100 of 4,000 rows


def test_a_line_every_ten_seconds() -> None:
    clock, said = Clock(), list[str]()
    lines = PlainLines(said.append, clock)
    for _ in range(25):
        clock.now_s += 1
        lines.show(Progress(2, 1, 10, 0))
    assert len(said) == 2


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (61, "1:01"), (3599.6, "1:00:00"), (90_061, "25:01:01")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
