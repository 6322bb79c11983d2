"""ClassScores: a classifier's classes, and how its raw outputs become scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from penstock.core.dtype import DType
from penstock.core.signature import TensorSpec
from penstock.core.tensor import Array, Tensor, object_array
from penstock.runtime.huggingface.options import Name
from penstock.runtime.huggingface.pretrained import Pretrained
from penstock.runtime.huggingface.text_encoder import to_numpy
from penstock.runtime.read_options import wrong_option


class ClassScores:
    """The outputs ``label`` and ``scores``.

    Attributes:
        specs: their declarations.
    """

    def __init__(self, labels: Sequence[str], *, is_independent: bool) -> None:
        """``is_independent``: each class has a probability of its own; else they sum to 1."""
        self._labels = [label.encode() for label in labels]
        self._is_independent = is_independent
        self.specs = (
            TensorSpec("label", DType.BYTES, (-1,)),
            TensorSpec("scores", DType.FP32, (-1, len(labels)), labels=tuple(labels)),
        )

    @classmethod
    def of(cls, pretrained: Pretrained, names: Sequence[Name]) -> ClassScores:
        """As the model's configuration says.

        Raises:
            LoadFailed: it is no classifier, or ``names`` are not one for each class.
        """
        config = pretrained.config
        if config.problem_type == "regression":
            raise pretrained.failure(
                "the model's problem_type is regression; classifiers are served"
            )
        labels = class_labels(pretrained, names)
        is_multi_label = config.problem_type == "multi_label_classification"
        return cls(labels, is_independent=is_multi_label or len(labels) == 1)

    def empty(self, rows: int) -> Array:
        """Room for scores."""
        return np.empty((rows, len(self._labels)), np.float32)

    def of_logits(self, logits: Any) -> Array:
        """Scores ``[rows, classes]`` of a model's raw outputs."""
        logits = logits.float()
        return to_numpy(logits.sigmoid() if self._is_independent else logits.softmax(dim=-1))

    def outputs(self, scores: Array) -> tuple[Tensor, Tensor]:
        """The two tensors of these scores."""
        labels = object_array([self._labels[i] for i in scores.argmax(axis=1).tolist()])
        return Tensor("label", DType.BYTES, labels), Tensor("scores", DType.FP32, scores)


def class_labels(pretrained: Pretrained, names: Sequence[Name]) -> Sequence[str]:
    """The classes' names: those given, else those of the model's configuration.

    Raises:
        LoadFailed: those given are not one for each class.
    """
    config = pretrained.config
    if names and len(names) != config.num_labels:
        raise wrong_option(
            pretrained.artifact,
            "labels",
            f"expected {config.num_labels} labels, one for each class of the model, "
            f"got {len(names)}",
        )
    return names or [str(config.id2label[i]) for i in range(config.num_labels)]
