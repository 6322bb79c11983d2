"""Compare: two versions' answers to one request, by one of their outputs, row by row."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Container, Sequence
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from penstock.core.dtype import DType
from penstock.core.errors import ConfigError, InvalidArgument
from penstock.core.tensor import Array, Tensor
from penstock.repository.manifest_shape import nearest
from penstock.router.compare_rows import (
    MAX_DIFFERENCE,
    Compared,
    by_class,
    by_cosine,
    by_rank,
    by_score,
    exact,
)

AUTO = "auto"
RowComparison: TypeAlias = Callable[[Array, Array, float], Compared]
"""Two arrays ``[rows, ...]`` of one shape and dtype, and the tolerance."""

COMPARISONS = MappingProxyType[str, RowComparison](
    {
        "class": by_class,
        "score": by_score,
        "rank": by_rank,
        "cosine": by_cosine,
        "exact": exact,
    }
)
"""By name; ``auto`` takes one of them, and ``module:function`` is the user's own."""

_SUM_SLACK = 0.01


def check_comparison(name: str) -> None:
    """See that a name can be one of a comparison, without importing anything.

    Raises:
        InvalidArgument: it is none of ``COMPARISONS``, nor ``auto``, nor ``module:function``.
    """
    module, _, function = name.partition(":")
    if name not in (AUTO, *COMPARISONS) and not (module and function):
        known = nearest(name, [AUTO, *COMPARISONS])
        raise InvalidArgument(
            f"compare: there is no '{name}', {known}; or name your own as module:function"
        )


def check_permitted(name: str, own: Container[str]) -> None:
    """See that a comparison is one that this server makes: the code of a function runs in it, and
    who may change routes may not choose code.

    Args:
        name: a comparison.
        own: the functions that its settings name.

    Raises:
        InvalidArgument: it is a function that they do not name.
    """
    if ":" in name and name not in own:
        raise InvalidArgument(
            f"compare: '{name}' is not among the functions that this server compares with: add it "
            "to the setting shadow_comparisons"
        )


def load_comparison(name: str) -> RowComparison:
    """The comparison of this name; a user's own is imported here, which may take its time.

    A user's own takes the primary's array, the shadow's (``[rows, ...]``, of one shape and dtype;
    BYTES as objects, BF16 as float32) and the tolerance. It gives one difference for each row; a
    row agrees where that is at most the tolerance.

    Args:
        name: a name in ``COMPARISONS``, or ``module:function``.

    Raises:
        InvalidArgument: see ``check_comparison``.
        ConfigError: it cannot be imported.
    """
    if name in COMPARISONS:
        return COMPARISONS[name]
    check_comparison(name)
    module, _, attribute = name.partition(":")
    try:
        function = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as err:
        raise ConfigError(
            f"compare: '{name}' cannot be imported: {type(err).__name__}: {err}"
        ) from err
    if not callable(function):
        raise ConfigError(
            f"compare: '{name}' is no function but a {type(function).__name__}: expected one "
            "that takes two arrays and the tolerance"
        )
    return _own(name, function)


def choose(primary: Tensor, labels: Sequence[str] = (), *, is_batched: bool = True) -> str:
    """What ``auto`` means for such an answer.

    ``class`` for integers, booleans, text, and floats that are the scores of classes: the
    signature names them, or each row ``[k >= 2]`` is a distribution. Else ``score``.

    Args:
        primary: an answer of the version that clients get.
        labels: the names of the last dimension's classes, from the signature.
        is_batched: whether the first dimension counts rows.
    """
    if not primary.dtype.is_float:
        return "class"
    values = _rows(primary, is_batched=is_batched)
    if values.ndim < 2 or values.shape[-1] < 2 or not values.size:
        return "score"
    if labels:
        return "class"
    return "class" if values.ndim == 2 and _are_distributions(values) else "score"


def compare(
    comparison: RowComparison,
    primary: Tensor,
    shadow: Tensor,
    tolerance: float,
    *,
    is_batched: bool = True,
) -> Compared:
    """Compare two answers' tensors of one output.

    Law: one difference and one verdict for each of the primary's rows, every difference finite.
    Another datatype or shape is disagreement in all rows.

    Args:
        comparison: from ``load_comparison``.
        primary: what the client got.
        shadow: what the shadow answered.
        tolerance: the largest difference of numbers that is still agreement.
        is_batched: whether the first dimension counts rows; otherwise each tensor is one row.

    Raises:
        InvalidArgument: the comparison is not made for such values.
        Exception: what a user's own raises.
    """
    left = _rows(primary, is_batched=is_batched)
    if primary.dtype is not shadow.dtype or primary.shape != shadow.shape:
        rows = len(left)
        forms = f"the primary gave {_form(primary)}, the shadow {_form(shadow)}"
        why = f"output '{primary.name}': {forms}"
        return Compared(np.full(rows, MAX_DIFFERENCE), np.zeros(rows, bool), why)
    if not left.size:
        return Compared(np.zeros(len(left)), np.ones(len(left), bool))
    return comparison(left, _rows(shadow, is_batched=is_batched), tolerance)


def _are_distributions(rows: Array) -> bool:
    """Whether the rows that are finite, of which there are some, are shares of 1."""
    finite = rows[np.isfinite(rows).all(1)].astype(np.float64)
    if not finite.size or finite.min() < 0:
        return False
    return bool(np.abs(finite.sum(1) - 1.0).max() <= _SUM_SLACK)


def _own(name: str, function: Callable[[Array, Array, float], object]) -> RowComparison:
    def compare_rows(a: Array, b: Array, tolerance: float) -> Compared:
        try:
            found = np.asarray(function(a, b, tolerance), np.float64)
        except SystemExit as err:
            raise InvalidArgument(f"compare: '{name}' wants to end the process") from err
        if found.shape != (len(a),):
            raise InvalidArgument(
                f"compare: '{name}' has to give one difference for each of {len(a)} rows, "
                f"got shape {list(found.shape)}"
            )
        return Compared.bounded(found, found <= tolerance)

    return compare_rows


def _rows(tensor: Tensor, *, is_batched: bool) -> Array:
    """The values as ``[rows, ...]``, BF16 as float32."""
    values = tensor.array
    if tensor.dtype is DType.BF16:
        values = (values.astype(np.uint32) << 16).view(np.float32)
    return values if is_batched and values.ndim else values[np.newaxis]


def _form(tensor: Tensor) -> str:
    return f"{tensor.dtype} {list(tensor.shape)}"
