"""What answers say, as classes that can be counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from penstock.core.dtype import DType
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Tensor, object_array
from penstock.router.predictions import (
    PredictionForm,
    count_classes,
    count_non_finite,
    gather,
    prediction_form,
)


def out(dtype: DType, values: Any, name: str = "y") -> Tensor:
    if dtype is DType.BYTES:
        return Tensor(name, dtype, object_array(values))
    if dtype is DType.BF16:
        bits = np.array(values, np.float32).view(np.uint32) >> 16
        return Tensor(name, dtype, bits.astype(np.uint16))
    return Tensor(name, dtype, np.array(values, dtype.numpy))


def counted(*answers: Tensor, batched: bool = True, labels: Sequence[str] = ()) -> dict[str, int]:
    form, dice = PredictionForm("y", tuple(labels)), np.random.default_rng(1)
    gathered = gather([(one,) for one in answers], batched=batched)
    return dict(count_classes(form, gathered, dice))


def rows_of(tensor: Tensor) -> list[Tensor]:
    """Each row as an answer of its own."""
    array = tensor.array
    return [Tensor(tensor.name, tensor.dtype, array[at : at + 1]) for at in range(len(array))]


def non_finite(*answers: Sequence[Tensor]) -> int:
    return count_non_finite(answers, gather(answers, batched=True))


@pytest.mark.parametrize("dtype", [DType.FP16, DType.FP32, DType.FP64, DType.BF16])
def test_the_largest_score_is_the_class(dtype: DType) -> None:
    first = out(dtype, [[0.25, 0.75, 0], [0.5, 0.125, 0.375]])
    second = out(dtype, [[0, 0.25, 0.75]])
    each = (*rows_of(first), second)
    assert counted(*each) == {"0": 1, "1": 1, "2": 1}
    assert counted(*each, labels="abc") == {"a": 1, "b": 1, "c": 1}
    assert counted(*rows_of(first), labels="ab") == {"0": 1, "1": 1}


@pytest.mark.parametrize("dtype", [DType.FP16, DType.FP32, DType.FP64, DType.BF16])
def test_one_score_is_counted_by_its_decile(dtype: DType) -> None:
    scores = out(dtype, [0, 0.0625, 0.25, 0.375, 1.0, 0.9375])
    assert counted(*rows_of(scores)) == {"0.0": 2, "0.2": 1, "0.3": 1, "0.9": 2}
    assert counted(out(dtype, [[0.5], [0.5]]), out(dtype, [[0.5]])) == {"0.5": 2}


def test_what_is_no_score_is_not_counted() -> None:
    scores = out(DType.FP32, [-0.5, 1.5, np.nan, np.inf, 0.5])
    assert counted(*rows_of(scores)) == {"0.5": 1}


@pytest.mark.parametrize(
    ("tensor", "expected"),
    [
        (out(DType.INT64, [3, 3, -1]), {"3": 2, "-1": 1}),
        (out(DType.UINT8, [[3], [4]]), {"3": 1, "4": 1}),
        (out(DType.BOOL, [True, False, True]), {"true": 2, "false": 1}),
        (out(DType.BYTES, [b"cat", b"dog", b"cat"]), {"cat": 2, "dog": 1}),
        (out(DType.BYTES, [b"\xff"]), {"\\xff": 1}),
        (out(DType.INT64, [[1, 2], [3, 4]]), {}),
        (out(DType.INT64, np.zeros((0,))), {}),
        (out(DType.FP32, np.zeros((0, 3))), {}),
    ],
)
def test_values_are_classes(tensor: Tensor, expected: dict[str, int]) -> None:
    assert counted(*rows_of(tensor)) == expected


@pytest.mark.parametrize("shape", [(0,), (0, 3)])
def test_an_answer_without_rows_is_left_out(shape: tuple[int, ...]) -> None:
    empty, whole = out(DType.INT64, np.zeros(shape)), out(DType.INT64, [[7]])
    assert counted(empty) == {}
    assert counted(out(DType.INT64, [7]), out(DType.INT64, []), out(DType.INT64, [8, 8])) == {
        "7": 1,
        "8": 1,
    }
    assert counted(empty, whole) == {"7": 1}


def test_one_row_of_each_answer_is_drawn_each_as_likely() -> None:
    odd = out(DType.INT64, [9] * 10_000)
    assert counted(odd, *[out(DType.INT64, [1])] * 50) == {"9": 1, "1": 50}
    mixed = counted(*[out(DType.INT64, [0, 1, 1, 2])] * 4000)
    assert sum(mixed.values()) == 4000
    for name, share in {"0": 0.25, "1": 0.5, "2": 0.25}.items():
        assert mixed[name] == pytest.approx(4000 * share, abs=150)


def test_a_scalar_stands_beside_rows() -> None:
    assert counted(out(DType.INT64, 5), out(DType.INT64, [5]), out(DType.INT64, 6)) == {
        "5": 2,
        "6": 1,
    }


def test_a_long_text_is_cut() -> None:
    ((name, count),) = counted(out(DType.BYTES, [b"x" * 1000])).items()
    assert (len(name), count) == (64, 1)


def test_a_model_that_does_not_batch_answers_one_row() -> None:
    assert counted(out(DType.FP32, [0.1, 0.9]), batched=False) == {"1": 1}
    assert counted(out(DType.FP32, 0.5), batched=False) == {"0.5": 1}
    assert counted(out(DType.INT32, [7]), batched=False) == {"7": 1}


def test_answers_of_different_widths_are_counted_each_by_its_own() -> None:
    assert counted(out(DType.FP32, [[0, 1]]), out(DType.FP32, [[0, 0, 1]])) == {"1": 1, "2": 1}


def test_an_answer_without_the_counted_output_is_left_out() -> None:
    assert counted(out(DType.INT64, [1], name="other"), out(DType.INT64, [2])) == {"2": 1}


@pytest.mark.parametrize(
    ("specs", "batched", "expected"),
    [
        ([("a", DType.FP32, (-1, 3, 4)), ("b", DType.FP32, (-1, 10))], True, "b"),
        ([("a", DType.INT64, (-1, 5)), ("b", DType.BYTES, (-1, 1))], True, "b"),
        ([("a", DType.FP32, (-1, -1))], True, "a"),
        ([("a", DType.FP32, (10,))], False, "a"),
        ([("a", DType.INT64, ())], False, "a"),
        ([("a", DType.INT64, (-1, 5))], True, None),
    ],
)
def test_the_first_output_that_is_a_class_or_a_score(
    specs: Any, batched: bool, expected: str | None
) -> None:
    outputs = tuple(TensorSpec(*spec) for spec in specs)
    form = prediction_form(ModelSignature((), outputs, batched))
    assert (form and form.output) == expected


@pytest.mark.parametrize("dtype", [DType.FP16, DType.FP32, DType.FP64, DType.BF16])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_answers_with_what_is_no_number_are_found(dtype: DType, bad: float) -> None:
    good = (out(DType.INT64, [1], name="label"), out(dtype, [[1.0, -2.0]]))
    wrong = (out(dtype, [0.0]), out(dtype, [[1.0, bad], [bad, bad]], name="z"))
    assert non_finite(good, good) == 0
    assert non_finite(good, wrong, good, wrong) == 2
    assert non_finite() == 0
