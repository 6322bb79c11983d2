"""Scores as outputs: the class of each row, its probabilities, its raw margins. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias, cast

import numpy as np

from penstock.core.dtype import DType
from penstock.core.signature import TensorSpec
from penstock.core.tensor import Array, Tensor, bytes_array

OutputKind: TypeAlias = Literal["prediction", "probability", "margin"]


class Classes(NamedTuple):
    """What a classifier's scores are the probabilities of.

    Attributes:
        values: the classes in the scores' order: numbers or text.
        is_multi_label: whether each class holds or not for itself.
        threshold: the probability above which the second of two classes, or a label, holds.
    """

    values: Array
    is_multi_label: bool = False
    threshold: float = 0.5

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes' names."""
        return tuple(str(value) for value in self.values.tolist())


class ScoreOutputs:
    """The outputs of a model that gives each row some numbers.

    ``value`` are the numbers people want (probabilities where there are classes), ``raw`` the
    engine's before the link function. A binary classifier may give one number, which is the
    second class's probability, or both.

    Args:
        kinds: the outputs, in their order.
        dtype: of the numbers.
        widths: of ``value`` and of ``raw``: how many numbers each row has.
        classes: what they are the probabilities of; None: they are none.
    """

    def __init__(
        self,
        kinds: Sequence[OutputKind],
        dtype: DType,
        widths: tuple[int, int],
        classes: Classes | None,
    ) -> None:
        self.specs = tuple(_spec(kind, dtype, widths[kind == "margin"], classes) for kind in kinds)
        self.needs_raw = "margin" in kinds
        self.needs_value = bool({"prediction", "probability"} & set(kinds))
        self._classes = classes

    def tensors(self, value: Array | None, raw: Array | None) -> tuple[Tensor, ...]:
        """The outputs of a batch.

        Args:
            value: ``[rows, width]``; None: not needed.
            raw: the same of margins.
        """
        arrays = {}
        if value is not None:
            arrays["prediction"] = self._prediction(value)
            arrays["probability"] = _both(value, self._classes)
        if raw is not None:
            arrays["margin"] = _flat(raw)
        return tuple(
            Tensor(spec.name, spec.dtype, arrays[spec.name].astype(spec.dtype.numpy, copy=False))
            for spec in self.specs
        )

    def _prediction(self, value: Array) -> Array:
        classes = self._classes
        if classes is None:
            return _flat(value)
        if classes.is_multi_label:
            return value > classes.threshold
        if len(classes.values) == 2:
            chosen = (value[:, -1] > classes.threshold).astype(np.intp)
        else:
            chosen = value.argmax(axis=1)
        picked = classes.values[chosen]
        return bytes_array(picked) if picked.dtype.kind in "OU" else picked


def _spec(kind: OutputKind, dtype: DType, width: int, classes: Classes | None) -> TensorSpec:
    shape = (-1,) if width == 1 else (-1, width)
    if classes is None or kind == "margin":
        return TensorSpec(kind, dtype, shape)
    if kind == "probability":
        return TensorSpec(kind, dtype, (-1, len(classes.values)), labels=classes.labels)
    if classes.is_multi_label:
        return TensorSpec(kind, DType.INT64, (-1, width), labels=classes.labels)
    return TensorSpec(kind, cast(DType, DType.from_numpy(classes.values.dtype)), (-1,))


def _both(value: Array, classes: Classes | None) -> Array:
    """The probability of each class where the engine gives the second's of two only."""
    if classes is not None and value.shape[1] == 1 and len(classes.values) == 2:
        return np.concatenate([1 - value, value], axis=1)
    return value


def _flat(scores: Array) -> Array:
    return scores[:, 0] if scores.shape[1] == 1 else scores
