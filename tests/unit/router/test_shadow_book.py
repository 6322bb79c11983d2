"""The book: sums over all rows, and the examples that differ most."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.dtype import DType
from penstock.core.tensor import Tensor
from penstock.router.compare_rows import MAX_DIFFERENCE, Compared
from penstock.router.counts import LATENCY_BOUNDS_S, MAX_EXAMPLES
from penstock.router.shadow_book import ShadowBook
from penstock.router.shadow_copy import ShadowCopy

DIFFERENCES = st.lists(
    st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, MAX_DIFFERENCE]) | st.floats(0, 100), min_size=1),
    max_size=40,
)


def tell(book: ShadowBook, differences: list[float], number: int = 0) -> None:
    array = np.array([[float(row)] for row in range(len(differences))], np.float32)
    rows = Tensor("x", DType.FP32, array)
    copy = ShadowCopy("m", f"r{number}", (rows,), {}, (rows,), 0, 0)
    found: Any = np.array(differences)
    book.compared(copy, (rows, rows.renamed("y")), Compared(found, found <= 0.5), 1234)


@given(DIFFERENCES)
def test_sums_and_examples_of_all_that_was_told(told: list[list[float]]) -> None:
    book = ShadowBook()
    for number, differences in enumerate(told):
        tell(book, differences, number)
    every = [np.array(differences) for differences in told]
    counts = book.counts()
    assert counts.pairs == len(every)
    assert np.isclose(counts.agreed, sum((one <= 0.5).mean() for one in every))
    assert counts.agreed <= counts.pairs
    assert np.isclose(counts.difference_sum, sum(one.mean() for one in every))
    assert np.isclose(counts.difference_squares, sum((one**2).mean() for one in every))
    worst = sorted((max(one) for one in told if max(one) > 0.5), reverse=True)[:MAX_EXAMPLES]
    assert [each.difference for each in counts.examples] == worst


def test_an_example_is_of_the_row_that_differs_most() -> None:
    book = ShadowBook()
    tell(book, [0.0, 3.0, 2.0], 7)
    (example,) = book.counts().examples
    assert (example.difference, example.request_id, example.at_ms) == (3.0, "r7", 1234)
    assert example.inputs == example.primary == '{"x": [1.0]}'
    assert example.shadow == '{"y": [1.0]}'


def test_a_copy_counts_once_however_many_rows_it_has() -> None:
    book = ShadowBook()
    tell(book, [1.0] * 10_000)
    tell(book, [0.0])
    tell(book, [0.0, 0.0, 0.0, 1.0])
    counts = book.counts()
    assert (counts.pairs, counts.agreed, counts.difference_sum) == (3, 1.75, 1.25)


def test_answers_without_a_row_are_no_comparison() -> None:
    book = ShadowBook()
    tell(book, [])
    counts = book.counts()
    assert (counts.pairs, counts.agreed, counts.incomparable) == (0, 0, 1)


def test_answers_that_differ_within_the_tolerance_are_no_examples() -> None:
    book = ShadowBook()
    tell(book, [0.25])
    assert book.counts().examples == []


def test_what_was_given_does_not_change() -> None:
    book = ShadowBook()
    tell(book, [3.0])
    book.answered(0.001)
    before = book.counts()
    tell(book, [4.0])
    book.answered(1e9)
    assert (before.pairs, len(before.examples), sum(before.latency)) == (1, 1, 1)
    after = book.counts()
    assert (after.pairs, len(after.examples), after.latency[-1]) == (2, 2, 1)
    bucket = after.latency.index(1)
    assert LATENCY_BOUNDS_S[bucket - 1] < 0.001 <= LATENCY_BOUNDS_S[bucket]
