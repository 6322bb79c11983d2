"""The comparisons: what agrees, how far apart the rest is, and what each cannot compare."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from penstock.core.errors import InvalidArgument
from penstock.router.compare import COMPARISONS
from penstock.router.compare_rows import (
    MAX_DIFFERENCE,
    Compared,
    by_class,
    by_cosine,
    by_rank,
    by_score,
    exact,
)

Rows = Callable[[Any, Any, float], Compared]

FINITE = st.floats(-60_000, 60_000, width=16)
SHAPES = hnp.array_shapes(min_dims=2, max_dims=3, min_side=2, max_side=5)


@st.composite
def two_alike(draw: Any, elements: Any = None) -> tuple[Any, Any]:
    """Two arrays of one shape and dtype."""
    dtype = draw(st.sampled_from([np.float32, np.float64, np.float16]))
    shape = draw(SHAPES)
    options = {"elements": elements} if elements is not None else {}
    first = draw(hnp.arrays(dtype, shape, **options))
    return first, draw(st.one_of(st.just(first), hnp.arrays(dtype, shape, **options)))


def rows(*values: Any) -> Any:
    return np.array(values, np.float32)


@pytest.mark.parametrize("compare", COMPARISONS.values(), ids=COMPARISONS)
@given(pair=two_alike(), tolerance=st.floats(0, 2))
def test_one_finite_difference_for_each_row(
    compare: Rows, pair: tuple[Any, Any], tolerance: float
) -> None:
    found = compare(*pair, tolerance)
    assert found.differences.shape == found.agrees.shape == (len(pair[0]),)
    assert found.differences.dtype == np.float64
    assert found.agrees.dtype == bool
    assert np.isfinite(found.differences).all()
    assert (found.differences >= 0).all()
    assert (found.differences <= MAX_DIFFERENCE).all()


@pytest.mark.parametrize("compare", COMPARISONS.values(), ids=COMPARISONS)
@given(pair=two_alike(FINITE))
def test_an_answer_agrees_with_itself_without_any_tolerance(
    compare: Rows, pair: tuple[Any, Any]
) -> None:
    found = compare(pair[0], pair[0].copy(), 0.0)
    assert found.agrees.all()
    assert (found.differences == 0).all()


@pytest.mark.parametrize("name", [name for name in COMPARISONS if name != "exact"])
@given(pair=two_alike(), data=st.data())
def test_nan_on_either_side_or_both_is_disagreement(
    name: str, pair: tuple[Any, Any], data: Any
) -> None:
    left, right = pair[0].copy(), pair[1].copy()
    row = data.draw(st.integers(0, len(left) - 1))
    for side in data.draw(st.sampled_from([[left], [right], [left, right]])):
        side[row].reshape(-1)[0] = np.nan
    found = COMPARISONS[name](left, right, math.inf)
    assert not found.agrees[row]
    assert found.differences[row] == MAX_DIFFERENCE


@given(pair=two_alike(), tolerance=st.floats(0, 10))
def test_rows_do_not_look_at_their_neighbours(pair: tuple[Any, Any], tolerance: float) -> None:
    for compare in COMPARISONS.values():
        together = compare(*pair, tolerance)
        for row in range(len(pair[0])):
            alone = compare(pair[0][row : row + 1], pair[1][row : row + 1], tolerance)
            assert alone.agrees[0] == together.agrees[row]
            assert alone.differences[0] == pytest.approx(together.differences[row], abs=1e-9)


def test_class_looks_at_the_largest_score_only() -> None:
    found = by_class(rows([0.1, 0.9], [0.6, 0.4]), rows([0.4, 0.6], [0.3, 0.7]), 0.0)
    assert found.agrees.tolist() == [True, False]
    assert found.differences.tolist() == pytest.approx([0.0, 0.4])


@given(pair=two_alike(FINITE))
def test_class_agrees_just_where_the_largest_scores_do(pair: tuple[Any, Any]) -> None:
    left, right = pair
    expected = (left.argmax(-1) == right.argmax(-1)).reshape(len(left), -1).all(1)
    assert by_class(left, right, 0.0).agrees.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("left", "right", "share"),
    [
        (np.array([[1, 2], [3, 4]]), np.array([[1, 2], [3, 5]]), 0.5),
        (np.array([True, False]), np.array([True, True]), 1.0),
        (np.array([b"cat", b"dog"], object), np.array([b"cat", b"cow"], object), 1.0),
    ],
)
def test_class_of_what_is_no_score_is_equality(left: Any, right: Any, share: float) -> None:
    found = by_class(left, right, 0.0)
    assert found.agrees.tolist() == [True, False]
    assert found.differences.tolist() == [0.0, share]


def test_class_needs_classes() -> None:
    with pytest.raises(InvalidArgument, match="at least two classes"):
        by_class(rows([0.1]), rows([0.2]), 0.0)


def test_score_is_the_largest_distance_of_the_row() -> None:
    found = by_score(rows([1, 2], [1, 2]), rows([1, 2.25], [1.5, 2]), 0.25)
    assert found.agrees.tolist() == [True, False]
    assert found.differences.tolist() == [0.25, 0.5]


def test_infinities_agree_with_themselves_only() -> None:
    found = by_score(rows([np.inf], [np.inf]), rows([np.inf], [-np.inf]), 1.0)
    assert found.agrees.tolist() == [True, False]
    assert found.differences.tolist() == [0.0, MAX_DIFFERENCE]


@given(
    st.sampled_from([np.int8, np.int64, np.uint8, np.uint64]).flatmap(
        lambda dtype: st.tuples(hnp.arrays(dtype, (4, 2)), hnp.arrays(dtype, (4, 2)))
    )
)
def test_integers_are_apart_what_they_are_apart(pair: tuple[Any, Any]) -> None:
    left, right = pair
    expected = [
        min(max(abs(int(a) - int(b)) for a, b in zip(*both, strict=True)), MAX_DIFFERENCE)
        for both in zip(left, right, strict=True)
    ]
    found = by_score(left, right, 0.0)
    assert found.differences.tolist() == pytest.approx(expected)
    assert found.agrees.tolist() == [each == 0 for each in expected]


def _spearman(left: list[float], right: list[float]) -> float:
    """By the definition: Pearson's correlation of average ranks."""

    def ranks(values: list[float]) -> list[float]:
        return [
            sum(other < value for other in values)
            + (sum(other == value for other in values) - 1) / 2
            for value in values
        ]

    a, b = ranks(left), ranks(right)
    middle = (len(a) - 1) / 2
    along = sum((x - middle) * (y - middle) for x, y in zip(a, b, strict=True))
    spread = math.sqrt(sum((x - middle) ** 2 for x in a) * sum((y - middle) ** 2 for y in b))
    if a == b:
        return 1.0
    return along / spread if spread else 0.0


@given(
    st.integers(2, 8).flatmap(
        lambda width: st.tuples(
            hnp.arrays(np.int16, (3, width), elements=st.integers(0, 4)),
            hnp.arrays(np.int16, (3, width), elements=st.integers(0, 4)),
        )
    )
)
def test_rank_is_spearman_with_ties(pair: tuple[Any, Any]) -> None:
    left, right = pair
    found = by_rank(left.astype(np.float32), right.astype(np.float32), 0.5)
    for row, difference in enumerate(found.differences.tolist()):
        expected = 1 - _spearman(left[row].tolist(), right[row].tolist())
        assert difference == pytest.approx(expected, abs=1e-9)
        assert bool(found.agrees[row]) is (difference <= 0.5)


@given(pair=two_alike(FINITE))
def test_rank_does_not_see_what_keeps_the_order(pair: tuple[Any, Any]) -> None:
    values = pair[0].astype(np.float64)
    assert by_rank(values, values * 3 + 7, 0.0).agrees.all()


def test_rank_needs_an_order() -> None:
    with pytest.raises(InvalidArgument, match="at least two values"):
        by_rank(rows([0.1]), rows([0.2]), 0.0)


def test_cosine_is_of_the_angle() -> None:
    left = rows([1, 0], [1, 0], [1, 0], [0, 0], [0, 0])
    right = rows([5, 0], [0, 2], [-1, 0], [0, 0], [1, 0])
    found = by_cosine(left, right, 0.5)
    assert found.differences.tolist() == pytest.approx([0, 1, 2, 0, 1])
    assert found.agrees.tolist() == [True, False, False, True, False]


def test_cosine_of_very_large_and_very_small_numbers() -> None:
    left = np.array([[1e200, 1e200], [1e-200, 1e-200]])
    assert by_cosine(left, left * 2, 1e-9).agrees.all()


def test_exact_is_equality_and_nan_equals_nan() -> None:
    found = exact(rows([np.nan, 1], [np.nan, 1]), rows([np.nan, 1], [1, np.nan]), 9.0)
    assert found.agrees.tolist() == [True, False]
    assert found.differences.tolist() == [0.0, 1.0]


@pytest.mark.parametrize("compare", [by_score, by_rank, by_cosine])
def test_text_is_no_number(compare: Rows) -> None:
    words = np.array([[b"a", b"b"]], object)
    with pytest.raises(InvalidArgument, match="needs numbers"):
        compare(words, words, 0.0)
