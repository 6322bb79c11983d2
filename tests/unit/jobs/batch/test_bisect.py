"""bisect: which rows make a batch fail."""

from __future__ import annotations

from penstock.core.errors import ModelFailed, PenstockError
from penstock.jobs.batch.bisect import Answered, Guilty, bisect

WHY = ModelFailed("all of them")


def test_one_row_of_many_is_found_in_few_attempts() -> None:
    tried: list[tuple[int, int]] = []

    def attempt(start: int, stop: int) -> int | PenstockError:
        tried.append((start, stop))
        return ModelFailed("here") if start <= 700 < stop else stop - start

    answered, guilty = bisect(range(1024), WHY, attempt)

    assert [one.row for one in guilty] == [700]
    assert guilty[0].error.message == "here"
    assert sum(one.answer for one in answered) == 1023
    assert len(tried) == 2 * 10


def test_a_row_alone_is_guilty_without_an_attempt() -> None:
    def attempt(start: int, stop: int) -> int | PenstockError:
        raise AssertionError("nothing is left to try")

    assert bisect(range(5, 6), WHY, attempt) == ([], [Guilty(5, WHY)])


def test_rows_that_only_fail_together_are_all_answered() -> None:
    def attempt(start: int, stop: int) -> str | PenstockError:
        return "fine" if stop - start <= 2 else ModelFailed("too many")

    answered, guilty = bisect(range(4), WHY, attempt)

    assert answered == [Answered(0, 2, "fine"), Answered(2, 4, "fine")]
    assert guilty == []
