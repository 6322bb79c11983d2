"""Schedule: the times of a cron expression, and that missed ones are one."""

from __future__ import annotations

from datetime import datetime

import pytest

from penstock.core.errors import ConfigError
from penstock.jobs.batch.schedule import Schedule

NIGHTLY = Schedule("0 2 * * *")


def day(number: int, hour: int = 0, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, 3, number, hour, minute, second)  # noqa: DTZ001 - local, as cron's


def test_the_next_time_is_after_the_moment() -> None:
    assert NIGHTLY.after(day(1, 1)) == day(1, 2)
    assert NIGHTLY.after(day(1, 2)) == day(2, 2)


@pytest.mark.parametrize(
    ("last", "now", "due"),
    [
        (day(1, 2), day(1, 3), None),
        (day(1, 2), day(2, 1, 59, 59), None),
        (day(1, 2), day(2, 2), day(2, 2)),
        (day(1, 2), day(2, 2, 0, 30), day(2, 2)),
        (day(1, 2), day(9, 12), day(9, 2)),  # a week was missed: once, for the newest
    ],
)
def test_what_is_due(last: datetime, now: datetime, due: datetime | None) -> None:
    assert NIGHTLY.due(last, now) == due


def test_what_was_due_is_due_once() -> None:
    due = NIGHTLY.due(day(1), day(5, 12))
    assert due is not None
    assert NIGHTLY.due(due, day(5, 12)) is None


@pytest.mark.parametrize("cron", ["", "hourly", "61 * * * *", "0 0 31 2 *", "* * *"])
def test_what_is_no_time(cron: str) -> None:
    with pytest.raises(ConfigError, match=r"^job.yaml: \$.schedule: expected a cron expression"):
        Schedule(cron).check("job.yaml: $.schedule")


@pytest.mark.parametrize(("cron", "count"), [("61 2 * *", 4), ("0 0 2 * * * *", 7), ("", 0)])
def test_the_number_of_fields_is_told(cron: str, count: int) -> None:
    with pytest.raises(ConfigError, match=rf"5 fields are expected \(minute, .*\), got {count}$"):
        Schedule(cron).check("job.yaml: $.schedule")


def test_a_second_may_come_first() -> None:
    Schedule("30 0 2 * * *").check("job.yaml: $.schedule")
