"""How far two arrays are apart, row by row: the comparisons themselves. Pure, vectorised.

Each takes two arrays of one shape, ``[rows, ...]`` and not empty, and of one numpy dtype (objects
are ``bytes``), and the tolerance. NaN differs from everything, itself included, but in ``exact``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from penstock.core.errors import InvalidArgument
from penstock.core.tensor import Array

MAX_DIFFERENCE = 1e9
"""Stands for an infinite difference: its square can still be summed."""


class Compared(NamedTuple):
    """What came of one comparison.

    Attributes:
        differences: ``[rows] float64``, 0 to ``MAX_DIFFERENCE``.
        agrees: ``[rows] bool``.
        why: why the rows could not even be compared; "": they were.
    """

    differences: Array
    agrees: Array
    why: str = ""

    @classmethod
    def bounded(cls, differences: Array, agrees: Array) -> Compared:
        """The same, every difference finite and not negative; one that is NaN disagrees."""
        unknown = np.isnan(differences)
        found = np.clip(np.where(unknown, MAX_DIFFERENCE, differences), 0.0, MAX_DIFFERENCE)
        return cls(found, agrees & ~unknown)


def by_class(a: Array, b: Array, tolerance: float) -> Compared:
    """Same class? The largest of the last dimension's scores, or the value that is no score.

    The difference of two scores is how far the second array puts its own class above that of the
    first; of other values, the share that differs.

    Raises:
        InvalidArgument: floats without a last dimension of two classes or more.
    """
    if a.dtype.kind != "f":
        return exact(a, b, tolerance)
    if a.ndim < 2 or a.shape[-1] < 2:
        raise InvalidArgument(
            "compare: 'class' needs scores of at least two classes in the last dimension, "
            f"integers or text, got floats of shape {list(a.shape)}; take 'score'"
        )
    first, second = a.argmax(-1), b.argmax(-1)
    same = np.asarray(first == second)
    has_nan = np.isnan(a).any(-1) | np.isnan(b).any(-1)
    if same.all() and not has_nan.any():
        return _all_agree(len(a))
    of_first = np.take_along_axis(b, first[..., np.newaxis], -1)[..., 0]
    with np.errstate(invalid="ignore", over="ignore"):
        margins = np.where(same, 0.0, b.max(-1).astype(np.float64) - of_first)
    margins = _flat(np.where(has_nan, np.nan, margins)).max(1)
    return Compared.bounded(margins, np.all(_flat(same), axis=1))


def by_score(a: Array, b: Array, tolerance: float) -> Compared:
    """Within the tolerance? The difference is the largest absolute one of the row.

    Raises:
        InvalidArgument: the values are no numbers.
    """
    differences = _flat(_distances(a, b)).max(1)
    return Compared.bounded(differences, differences <= tolerance)


def by_rank(a: Array, b: Array, tolerance: float) -> Compared:
    """Same order? The difference is 1 less Spearman's rank correlation, ties on average ranks.

    A row of equal values has no order: it agrees with another such row, and with nothing else.

    Raises:
        InvalidArgument: the values are no numbers, or a row has fewer than two.
    """
    left, right = _flat(_numbers("rank", a)), _flat(_numbers("rank", b))
    if left.shape[1] < 2:
        raise InvalidArgument(
            "compare: 'rank' needs at least two values in a row, "
            f"got shape {list(a.shape)}; take 'score'"
        )
    x, y = _ranks(left), _ranks(right)
    spread = np.sqrt((x * x).sum(1) * (y * y).sum(1))
    together = (x * y).sum(1)
    correlations = np.divide(together, spread, out=np.zeros_like(spread), where=spread > 0)
    differences = np.where((x == y).all(1), 0.0, 1.0 - correlations)
    differences[np.isnan(left).any(1) | np.isnan(right).any(1)] = np.nan
    return Compared.bounded(differences, differences <= tolerance)


def by_cosine(a: Array, b: Array, tolerance: float) -> Compared:
    """Same direction? The difference is 1 less the cosine of the angle between the rows.

    A row of zeros has no direction: it agrees with another such row, and with nothing else.

    Raises:
        InvalidArgument: the values are no numbers.
    """
    left, right = _flat(_numbers("cosine", a)), _flat(_numbers("cosine", b))
    equal = (left == right).all(1)
    with np.errstate(invalid="ignore", over="ignore"):
        x, y = _unit(left), _unit(right)
        differences = np.where(equal, 0.0, 1.0 - (x * y).sum(1))
    return Compared.bounded(differences, differences <= tolerance)


def exact(a: Array, b: Array, tolerance: float) -> Compared:
    """Equal values, NaN equal to NaN? The difference is the share of the row that differs."""
    del tolerance  # there is none
    same = np.asarray(a == b, dtype=bool)
    if a.dtype.kind == "f":
        same = same | (np.isnan(a) & np.isnan(b))
    if same.all():
        return _all_agree(len(a))
    shares = 1.0 - _flat(same).mean(1)
    return Compared(shares, shares == 0)


def _all_agree(rows: int) -> Compared:
    return Compared(np.zeros(rows), np.ones(rows, bool))


def _flat(values: Array) -> Array:
    return values.reshape(len(values), -1)


def _numbers(name: str, values: Array) -> Array:
    if values.dtype.kind not in "fiub":
        raise InvalidArgument(f"compare: '{name}' needs numbers, got text; take 'exact'")
    return values.astype(np.float64)


def _distances(a: Array, b: Array) -> Array:
    """Absolute differences as float64; those of integers are exact before that."""
    if a.dtype.kind in "iu":
        unsigned = a.dtype.str.replace("i", "u")
        with np.errstate(over="ignore"):
            apart: Array = np.maximum(a, b) - np.minimum(a, b)  # may wrap round, and back again
        return apart.view(unsigned).astype(np.float64)
    left, right = _numbers("score", a), _numbers("score", b)
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(left == right, 0.0, np.abs(left - right))


def _unit(rows: Array) -> Array:
    """Rows of length 1; of zeros where there was nothing else."""
    largest = np.abs(rows).max(1, keepdims=True)
    scaled = rows / np.where(largest == 0, 1.0, largest)
    length = np.sqrt((scaled * scaled).sum(1, keepdims=True))
    unit: Array = scaled / np.where(length == 0, 1.0, length)
    return unit


def _ranks(rows: Array) -> Array:
    """Ranks of each row's values about their mean, equal values sharing the average one."""
    count, width = rows.shape
    order = rows.argsort(1, kind="stable")
    ascending = np.take_along_axis(rows, order, 1)
    is_new = np.ones(rows.shape, bool)
    is_new[:, 1:] = ascending[:, 1:] != ascending[:, :-1]
    groups = is_new.reshape(-1).cumsum() - 1
    places = np.tile(np.arange(width, dtype=np.float64), count)
    shared = (np.bincount(groups, places) / np.bincount(groups))[groups]
    ranks = np.empty(rows.shape)
    np.put_along_axis(ranks, order, shared.reshape(rows.shape), 1)
    centred: Array = ranks - (width - 1) / 2
    return centred
