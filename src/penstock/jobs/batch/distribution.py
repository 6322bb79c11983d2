"""Distribution: what a model has answered over many rows, small, and added up exactly. Pure.

Law: however rows are cut into parts, and in whichever order the parts are added up, the sum is that
of the rows together. So a job that was resumed, or ran on many workers, reports the same.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec
import numpy as np

from penstock.core.dtype import DType
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Array, Tensor

MAX_BINS = 64
MAX_CLASSES = 1000
_LABEL_CHARS = 64
_LEAST_EXPONENT = -40
_MAX_DIGITS = 40


class ClassCounts(msgspec.Struct, frozen=True, tag="classes"):
    """How often each value came.

    Attributes:
        counts: by value, as text of at most 64 characters; empty where there are too many.
        is_many: more than ``MAX_CLASSES`` different values came: none is counted.
    """

    counts: Mapping[str, int] = {}
    is_many: bool = False

    def plus(self, other: ClassCounts) -> ClassCounts:
        """Both together."""
        if self.is_many or other.is_many:
            return ClassCounts(is_many=True)
        counts: Counter[str] = Counter(self.counts) + Counter(other.counts)
        return _class_counts(counts)


class Histogram(msgspec.Struct, frozen=True, tag="histogram"):
    """How many numbers fell where: bins of one width, a power of two, at multiples of it.

    The width is the least with which all numbers that came fit into ``MAX_BINS`` bins, so that bins
    of a smaller range are parts of those of a larger one, and add up exactly.

    Attributes:
        exponent: a bin is ``2**exponent`` wide.
        first: the first bin starts at ``first * 2**exponent``.
        counts: one for each bin; empty: no finite number came.
        largest: the largest of the numbers' magnitudes, to the next power of two: its exponent.
        nan, below, above: how many were no number, -infinity and +infinity.
    """

    exponent: int = 0
    first: int = 0
    counts: tuple[int, ...] = ()
    largest: int = _LEAST_EXPONENT
    nan: int = 0
    below: int = 0
    above: int = 0

    def plus(self, other: Histogram) -> Histogram:
        """Both together."""
        parts = [one for one in (self, other) if one.counts]
        exponent = max((one.exponent for one in parts), default=0)
        largest = max(self.largest, other.largest)
        while _bins_needed(parts, exponent) > MAX_BINS:
            exponent += 1
        exponent = max(exponent, largest - _MAX_DIGITS) if parts else 0
        first = min((_shifted(one, exponent, 0) for one in parts), default=0)
        counts = [0] * _bins_needed(parts, exponent)
        for one in parts:
            for place, count in enumerate(one.counts):
                counts[_shifted(one, exponent, place) - first] += count
        return Histogram(
            exponent=exponent,
            first=first,
            counts=tuple(counts),
            largest=largest,
            nan=self.nan + other.nan,
            below=self.below + other.below,
            above=self.above + other.above,
        )

    @property
    def edges(self) -> list[float]:
        """Where the bins start, and where the last one ends; never infinite."""
        places = range(self.first, self.first + len(self.counts) + 1)
        return [_edge(place, self.exponent) for place in places]


Distribution: TypeAlias = ClassCounts | Histogram


def distributions(
    signature: ModelSignature, outputs: Sequence[Tensor]
) -> Mapping[str, Distribution]:
    """What came of each output, by its name.

    An output with labels counts the label of each row's largest score; text and BOOL count their
    values; other numbers make a histogram, of all elements.

    Args:
        signature: of the model.
        outputs: tensors ``[rows, ...]``, as the model gave them.
    """
    specs = {spec.name: spec for spec in signature.outputs}
    return {one.name: _distribution(specs[one.name], one) for one in outputs}


def add_distributions(
    left: Mapping[str, Distribution], right: Mapping[str, Distribution]
) -> Mapping[str, Distribution]:
    """Both together, name by name; one model's outputs are of one kind each."""
    added = {**left, **right}
    for name in left.keys() & right.keys():
        added[name] = _sum(left[name], right[name])
    return added


def _sum(left: Distribution, right: Distribution) -> Distribution:
    if isinstance(left, Histogram):
        assert isinstance(right, Histogram)  # noqa: S101 - one output, one kind
        return left.plus(right)
    assert isinstance(right, ClassCounts)  # noqa: S101 - one output, one kind
    return left.plus(right)


def _distribution(spec: TensorSpec, tensor: Tensor) -> Distribution:
    array = tensor.array
    is_scores = tensor.dtype.numpy.kind == "f" and array.ndim > 1
    if is_scores and spec.labels and array.shape[-1] == len(spec.labels):
        best = array.reshape(-1, len(spec.labels)).argmax(axis=1)
        counts = np.bincount(best, minlength=len(spec.labels)).tolist()
        return _class_counts(Counter(dict(zip(spec.labels, counts, strict=True))))
    if tensor.dtype is DType.BYTES:
        return _class_counts(Counter(array.reshape(-1).tolist()))
    if tensor.dtype is DType.BOOL:
        true = int(np.count_nonzero(array))
        return _class_counts(Counter({"false": array.size - true, "true": true}))
    return histogram(bf16_to_float32(array) if tensor.dtype is DType.BF16 else array)


def _class_counts(counts: Mapping[bytes, int] | Mapping[str, int]) -> ClassCounts:
    told: Counter[str] = Counter()
    for value, count in counts.items():
        text = value if isinstance(value, str) else value.decode(errors="backslashreplace")
        told[text[:_LABEL_CHARS]] += count
    kept = {text: told[text] for text in sorted(told) if told[text]}
    return ClassCounts(is_many=True) if len(kept) > MAX_CLASSES else ClassCounts(kept)


def histogram(array: Array) -> Histogram:
    """The histogram of an array's numbers, of integers or floats, of any shape."""
    flat = array.reshape(-1)
    if flat.dtype.kind != "f":
        return _of_finite(flat, 0, Histogram())
    finite = np.isfinite(flat)
    others = Histogram()
    if not finite.all():
        others = Histogram(
            nan=int(np.isnan(flat).sum()),
            below=int(np.isneginf(flat).sum()),
            above=int(np.isposinf(flat).sum()),
        )
        flat = flat[finite]
    return _of_finite(flat.astype(np.float64, copy=False), _LEAST_EXPONENT, others)


def _of_finite(flat: Array, least: int, others: Histogram) -> Histogram:
    if not flat.size:
        return others
    low, high = flat.min().item(), flat.max().item()
    magnitude = max(abs(low), abs(high))
    largest = max(math.frexp(magnitude)[1], _LEAST_EXPONENT) if magnitude else _LEAST_EXPONENT
    exponent = max(least, largest - _MAX_DIGITS)
    exponent = max(exponent, math.frexp((high - low) / MAX_BINS or 1e-300)[1] - 2)
    while _floor(high, exponent) - _floor(low, exponent) >= MAX_BINS:
        exponent += 1
    first = _floor(low, exponent)
    if flat.dtype.kind == "f":
        places = np.floor(np.ldexp(flat, -exponent))
        if low < 0:
            places[(places == 0) & (flat < 0)] = -1  # so small that they were scaled to -0.0
    else:
        places = np.right_shift(flat, flat.dtype.type(exponent))
    counts = np.bincount(places.astype(np.int64) - first)
    return msgspec.structs.replace(
        others, exponent=exponent, first=first, counts=tuple(counts.tolist()), largest=largest
    )


def _floor(value: float, exponent: int) -> int:
    if isinstance(value, int):
        return value >> exponent
    place = math.floor(math.ldexp(value, -exponent))
    return -1 if place == 0 and value < 0 else place


def _edge(place: int, exponent: int) -> float:
    try:
        return math.ldexp(place, exponent)
    except OverflowError:
        return math.copysign(sys.float_info.max, place)


def _shifted(one: Histogram, exponent: int, place: int) -> int:
    """Which bin, of width ``2**exponent``, a bin of this histogram is a part of."""
    return (one.first + place) >> (exponent - one.exponent)


def _bins_needed(parts: Sequence[Histogram], exponent: int) -> int:
    if not parts:
        return 0
    lows = [_shifted(one, exponent, 0) for one in parts]
    highs = [_shifted(one, exponent, len(one.counts) - 1) for one in parts]
    return max(highs) - min(lows) + 1


def bf16_to_float32(bits: Array) -> Array:
    """The values that BF16's bit patterns (uint16) stand for, exactly."""
    return (bits.astype(np.uint32) << 16).view(np.float32)
