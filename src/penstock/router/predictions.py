"""Predictions: what a model's answers say, as classes that can be counted. Pure, but for the draw.

Counted is one row of each answer, drawn at random: the rows of one request are alike, and those
who compare two versions take what is counted for independent. It is that of the first output that
its signature declares to be a class or a score:

- one whole number, boolean or text a row is a class;
- two numbers or more a row, with a fraction, are scores of classes: the largest is the class;
- one number a row, with a fraction, is a score: its decile is counted where it lies within 0 to 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from penstock.core.dtype import DType
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Array, Tensor

FLOATS = frozenset(dtype for dtype in DType if dtype.is_float)
_MAX_NAME = 64
_DECILES = 10
_BF16_EXPONENT = 0x7F80
_ANY = -1


class PredictionForm(NamedTuple):
    """The output of a model that is counted.

    Attributes:
        output: its name.
        labels: the names of the classes, where they are known.
    """

    output: str
    labels: tuple[str, ...] = ()


class Column(NamedTuple):
    """One output of many answers.

    Attributes:
        name: the output's name.
        dtype: its datatype.
        rows: ``[rows, elements]``; of any shape where there is no element.
        lengths: how many of the rows are of each answer, in their order.
    """

    name: str
    dtype: DType
    rows: Array
    lengths: Sequence[int]


Gathered: TypeAlias = Sequence[Column]


def prediction_form(signature: ModelSignature) -> PredictionForm | None:
    """The output to count; None: none of them is a class or a score."""
    for spec in signature.outputs:
        if _is_prediction(spec, batched=signature.batched):
            return PredictionForm(spec.name, spec.labels)
    return None


def gather(answers: Iterable[Sequence[Tensor]], *, batched: bool) -> Gathered:
    """The outputs of many answers, those of one name and width below one another; a scalar is a
    row, and stands by itself.

    Args:
        answers: the outputs of each, of one signature: a name has one datatype.
        batched: whether the first dimension of an output is its rows; else it is one row.
    """
    parts: dict[tuple[str, bool, tuple[int, ...]], list[Array]] = {}
    dtypes: dict[str, DType] = {}
    for outputs in answers:
        for tensor in outputs:
            array = tensor.array
            has_rows = batched and array.ndim > 0
            key = (tensor.name, has_rows, array.shape[1:] if has_rows else array.shape)
            found = parts.get(key)
            if found is None:
                parts[key] = [array]
                dtypes[tensor.name] = tensor.dtype
            else:
                found.append(array)
    return [
        Column(name, dtypes[name], *_rows(arrays, has_rows=has_rows))
        for (name, has_rows, _), arrays in parts.items()
    ]


def count_classes(
    form: PredictionForm, gathered: Gathered, dice: np.random.Generator
) -> Counter[str]:
    """The answers by predicted class, or by decile of the score, of one of their rows.

    Law: an answer counts at most once, however many rows it has.

    Args:
        form: of the signature that all answers were made by.
        gathered: the answers; those that were not asked for the counted output lack it.
        dice: draws the row, each of an answer's as likely as any other.
    """
    counted: Counter[str] = Counter()
    for column in gathered:
        if column.name != form.output or not column.rows.size:
            continue
        dtype, rows = column.dtype, _drawn(column, dice)
        if dtype in FLOATS:
            scores = _numbers(dtype, rows)
            is_one = scores.shape[1] == 1
            counted.update(_deciles(scores[:, 0]) if is_one else _largest(scores, form.labels))
        elif rows.shape[1] == 1:
            counted.update(_values(rows[:, 0]))
    return counted


def count_non_finite(answers: Sequence[Sequence[Tensor]], gathered: Gathered) -> int:
    """How many answers hold a NaN or an infinity; ``gathered`` are the same answers."""
    if all(_is_finite(one.dtype, one.rows) for one in gathered if one.dtype in FLOATS):
        return 0
    return sum(
        any(one.dtype in FLOATS and not _is_finite(one.dtype, one.array) for one in outputs)
        for outputs in answers
    )


def _is_prediction(spec: TensorSpec, *, batched: bool) -> bool:
    dims = spec.shape[1:] if batched else spec.shape
    is_one = dims in ((), (1,), (_ANY,))
    return is_one or (len(dims) == 1 and spec.dtype in FLOATS)


def _rows(arrays: Sequence[Array], *, has_rows: bool) -> tuple[Array, Sequence[int]]:
    """Arrays of one width as ``[rows, elements]``, and how many rows each has."""
    if not has_rows:
        rows = np.stack(arrays).reshape(len(arrays), -1) if arrays[0].size else arrays[0]
        return rows, [1] * len(arrays)
    together = np.concatenate(arrays) if len(arrays) > 1 else arrays[0]
    rows = together.reshape(len(together), -1) if together.size else together
    return rows, [len(one) for one in arrays]


def _drawn(column: Column, dice: np.random.Generator) -> Array:
    """One row of each answer that has any."""
    if max(column.lengths) == 1:
        return column.rows
    lengths = np.array(column.lengths)
    firsts = (lengths.cumsum() - lengths)[lengths > 0]
    drawn: Array = column.rows[firsts + dice.integers(lengths[lengths > 0])]
    return drawn


def _numbers(dtype: DType, array: Array) -> Array:
    """BF16, which is held as its bits, as numbers; all others are numbers."""
    if dtype is not DType.BF16:
        return array
    return (array.astype(np.uint32) << 16).view(np.float32)


def _is_finite(dtype: DType, array: Array) -> bool:
    if dtype is DType.BF16:
        return bool(((array & _BF16_EXPONENT) != _BF16_EXPONENT).all())
    return bool(np.isfinite(array).all())


def _largest(scores: Array, labels: Sequence[str]) -> dict[str, int]:
    width = scores.shape[1]
    counts = np.bincount(scores.argmax(axis=1), minlength=width)
    named = labels if len(labels) == width else [str(index) for index in range(width)]
    return {name: int(count) for name, count in zip(named, counts, strict=True) if count}


def _deciles(scores: Array) -> dict[str, int]:
    within = scores[(scores >= 0) & (scores <= 1)]
    tenths = np.minimum((within * _DECILES).astype(np.int64), _DECILES - 1)
    counts = np.bincount(tenths, minlength=_DECILES)
    return {f"{at / _DECILES:.1f}": int(count) for at, count in enumerate(counts) if count}


def _values(values: Array) -> dict[str, int]:
    return {_name(value): count for value, count in Counter(values.tolist()).items()}


def _name(value: object) -> str:
    if isinstance(value, bytes):
        return value[:_MAX_NAME].decode("utf-8", "backslashreplace")
    return str(value).lower() if isinstance(value, bool) else str(value)
