"""Candidates: the labels a zero-shot request asks about, and their scores. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec
import numpy as np

from penstock.core.errors import InvalidArgument, InvalidInput
from penstock.core.messages import Parameter
from penstock.core.tensor import Array, Tensor
from penstock.runtime.text_input import not_text

_ValueT = TypeVar("_ValueT", str, bool)

MAX_LABELS = 256
"""Labels of one text: the model reads the text once for each."""

SLOT = "{}"
"""Where the label goes in a hypothesis template."""


class Question(msgspec.Struct, frozen=True):
    """What a request asks of each text.

    Attributes:
        labels: the candidates for every text; empty: the input ``candidate_labels`` has them.
        template: the sentence that is held against the text, ``{}`` in the label's place.
        multi_label: whether each label is judged alone; else the scores of a text sum to 1.
    """

    labels: tuple[str, ...] = ()
    template: str = "This example is {}."
    multi_label: bool = False

    def with_parameters(self, parameters: Mapping[str, Parameter]) -> Question:
        """This question with what the request's parameters say over it.

        Raises:
            InvalidArgument: one is of another type, or the template has no place for a label.
        """
        labels = _parameter(parameters, "candidate_labels", "")
        template = _parameter(parameters, "hypothesis_template", self.template)
        if SLOT not in template:
            raise InvalidArgument(
                f"parameter 'hypothesis_template': expected text with '{SLOT}' in the label's "
                f"place, got {template!r}"
            )
        return Question(
            split_labels(labels) if "candidate_labels" in parameters else self.labels,
            template,
            _parameter(parameters, "multi_label", self.multi_label),
        )

    def hypothesis(self, label: str) -> str:
        """The sentence for one label."""
        return self.template.replace(SLOT, label)


def split_labels(text: str) -> tuple[str, ...]:
    """``"politics, sport"`` as labels."""
    return tuple(label.strip() for label in text.split(",") if label.strip())


def row_labels(tensor: Tensor, row: int) -> tuple[str, ...]:
    """One text's labels of the input ``candidate_labels``.

    Raises:
        InvalidInput: one is empty or not UTF-8.
    """
    try:
        labels = tuple(item.decode().strip() for item in tensor.array[row].tolist())
    except UnicodeDecodeError:
        raise not_text(tensor.name, row) from None
    if not all(labels):
        raise InvalidInput(row, f"input '{tensor.name}': a label is empty")
    return labels


def check_count(row: int, labels: Sequence[str]) -> None:
    """See that there are labels, and not too many.

    Raises:
        InvalidInput: there are none, or more than ``MAX_LABELS``.
    """
    if not labels:
        raise InvalidInput(
            row,
            "no candidate labels: send the input 'candidate_labels' (a row of labels for each "
            "text), or the parameter 'candidate_labels' (one text, labels separated by commas)",
        )
    if len(labels) > MAX_LABELS:
        raise InvalidInput(
            row, f"{len(labels)} candidate labels, more than the limit of {MAX_LABELS}"
        )


def combine_scores(
    logits: Array, *, entailment: int, contradiction: int, multi_label: bool
) -> Array:
    """Scores of labels from those of their hypotheses.

    Source: the transformers library's zero-shot pipeline.

    Args:
        logits: ``[texts, labels, classes]``.
        entailment: the class that says the hypothesis follows from the text.
        contradiction: the class that says the contrary.
        multi_label: see ``Question``; one label alone is judged alone.

    Returns:
        ``[texts, labels]``, FP32.
    """
    if multi_label or logits.shape[1] == 1:
        return _softmax(logits[..., [contradiction, entailment]])[..., 1]
    return _softmax(logits[..., entailment])


def _softmax(logits: Array) -> Array:
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    scores: Array = (shifted / shifted.sum(axis=-1, keepdims=True)).astype(np.float32)
    return scores


def _parameter(parameters: Mapping[str, Parameter], name: str, default: _ValueT) -> _ValueT:
    value = parameters.get(name, default)
    if not isinstance(value, type(default)):
        raise InvalidArgument(
            f"parameter '{name}': expected {type(default).__name__}, got {value!r}"
        )
    return value
