"""Scores as outputs, for each form in which libraries give them."""

from typing import Any

import numpy as np
import pytest

from penstock.core.dtype import DType
from penstock.core.tensor import object_array
from penstock.runtime.tabular.scores import Classes, OutputKind, ScoreOutputs

ALL: tuple[OutputKind, ...] = ("prediction", "probability", "margin")
TWO = Classes(np.array([0, 1]))


def tensors(outputs: ScoreOutputs, value: Any, raw: Any = None) -> dict[str, Any]:
    given = outputs.tensors(
        np.array(value, np.float32), None if raw is None else np.array(raw, np.float32)
    )
    for spec, tensor in zip(outputs.specs, given, strict=True):
        assert (spec.name, spec.dtype) == (tensor.name, tensor.dtype)
        assert spec.accepts(tensor.shape)
    return {tensor.name: tensor.array.tolist() for tensor in given}


@pytest.mark.parametrize("value", [[[0.25], [0.75]], [[0.75, 0.25], [0.25, 0.75]]])
def test_two_classes_given_as_one_number_or_as_both(value: Any) -> None:
    outputs = ScoreOutputs(ALL, DType.FP32, (len(value[0]), 1), TWO)
    assert tensors(outputs, value, [[-1.5], [1.5]]) == {
        "prediction": [0, 1],
        "probability": [[0.75, 0.25], [0.25, 0.75]],
        "margin": [-1.5, 1.5],
    }
    assert outputs.specs[1].labels == ("0", "1")


def test_a_threshold_is_of_the_second_class() -> None:
    outputs = ScoreOutputs(["prediction"], DType.FP32, (1, 1), TWO._replace(threshold=0.7))
    assert tensors(outputs, [[0.6], [0.7], [0.71]]) == {"prediction": [0, 0, 1]}


def test_named_classes() -> None:
    classes = Classes(object_array(["a", "é", "c"]))
    outputs = ScoreOutputs(ALL, DType.FP32, (3, 3), classes)
    value = [[0.1, 0.8, 0.1], [0.5, 0.2, 0.3]]
    assert tensors(outputs, value, value)["prediction"] == ["é".encode(), b"a"]
    assert outputs.specs[1].labels == ("a", "é", "c")
    assert outputs.specs[2].shape == (-1, 3)


def test_labels_hold_each_for_itself() -> None:
    classes = Classes(np.array([0, 1]), is_multi_label=True)
    outputs = ScoreOutputs(["prediction", "probability"], DType.FP64, (2, 2), classes)
    assert tensors(outputs, [[0.75, 1.0], [0.5, 0.25]]) == {
        "prediction": [[1, 1], [0, 0]],
        "probability": [[0.75, 1.0], [0.5, 0.25]],
    }


@pytest.mark.parametrize(("value", "prediction"), [([[1], [2]], [1, 2]), ([[1, 2]], [[1, 2]])])
def test_numbers(value: Any, prediction: Any) -> None:
    width = len(value[0])
    outputs = ScoreOutputs(["prediction", "margin"], DType.FP32, (width, width), None)
    assert tensors(outputs, value, value) == {"prediction": prediction, "margin": prediction}


def test_only_what_is_needed_is_computed() -> None:
    margins = ScoreOutputs(["margin"], DType.FP32, (1, 1), TWO)
    assert (margins.needs_raw, margins.needs_value) == (True, False)
    classes = ScoreOutputs(["prediction"], DType.FP32, (1, 1), TWO)
    assert (classes.needs_raw, classes.needs_value) == (False, True)
