"""Rows and classes that tabular models learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

FEATURES = 40


def training_data(dtype: DTypeLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return 4,000 rows of `FEATURES` numbers, and which of two classes each is of."""
    rows = np.random.default_rng(0).normal(size=(4000, FEATURES)).astype(dtype)
    return rows, (rows[:, :5].sum(axis=1) + rows[:, 5] * rows[:, 6] > 0).astype(int)
