"""The classification extension."""

import numpy as np
import pytest

from penstock.core.dtype import DType
from penstock.core.errors import InvalidArgument
from penstock.core.messages import InferResponse
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Array, Tensor
from penstock.dialects.open_inference.classification import classify
from penstock.dialects.open_inference.reply import OutputOptions, ReplyOptions


def _classify(
    array: Array, count: int, labels: tuple[str, ...] = (), batched: bool = True
) -> Tensor:
    response = InferResponse("m", 1, (Tensor.from_array("y", array),), "7", {"a": 1})
    spec = TensorSpec("y", DType.FP32, (-1, 3), labels=labels)
    options = ReplyOptions(outputs={"y": OutputOptions(classes=count)})
    result = classify(response, options, ModelSignature((), (spec,), batched))
    assert (result.id, result.parameters) == ("7", {"a": 1})
    return result.outputs[0]


def test_best_classes_of_each_row() -> None:
    tensor = _classify(np.array([[0.1, 0.7, 0.2], [3, 1, 2]], "<f4"), 2)
    assert tensor.dtype is DType.BYTES
    assert tensor.array.tolist() == [
        [b"0.700000:1", b"0.200000:2"],
        [b"3.000000:0", b"2.000000:2"],
    ]


def test_labels_where_there_are_any_and_no_more_classes_than_exist() -> None:
    tensor = _classify(np.array([[0.5, 1, -1]], "<f8"), 10, ("cat", "dog"))
    assert tensor.array.tolist() == [[b"1.000000:1:dog", b"0.500000:0:cat", b"-1.000000:2"]]


def test_ties_keep_their_order_and_nan_is_last() -> None:
    tensor = _classify(np.array([[np.nan, 1, 1, np.inf]], "<f4"), 4)
    assert tensor.array.tolist() == [[b"inf:3", b"1.000000:1", b"1.000000:2", b"nan:0"]]


@pytest.mark.parametrize("dtype", ["i1", "u1", "<i8", "<u8"])
def test_integers_over_their_whole_range(dtype: str) -> None:
    info = np.iinfo(dtype)
    tensor = _classify(np.array([[info.min, info.max, 1]], dtype), 3)
    assert tensor.array.tolist()[0][0] == f"{info.max}:1".encode()
    assert tensor.array.tolist()[0][2] == f"{info.min}:0".encode()


def test_shapes() -> None:
    assert _classify(np.zeros(3, "<f4"), 2, batched=False).shape == (2,)
    assert _classify(np.zeros((0, 3), "<f4"), 2).shape == (0, 2)
    assert _classify(np.zeros((2, 0), "<f4"), 2).shape == (2, 0)
    assert _classify(np.zeros((2, 2, 2), "<f4"), 3).shape == (2, 3)


def test_other_outputs_are_left_as_they_are() -> None:
    tensor = Tensor.from_array("y", np.zeros(3, "<f4"))
    response = InferResponse("m", 1, (tensor,))
    assert classify(response, ReplyOptions(), ModelSignature((), ())).outputs == (tensor,)


@pytest.mark.parametrize("dtype", [DType.BYTES, DType.BOOL, DType.FP16, DType.BF16])
def test_datatypes_that_have_no_classes(dtype: DType) -> None:
    tensor = Tensor("y", dtype, np.zeros(3, dtype.numpy))
    options = ReplyOptions(outputs={"y": OutputOptions(classes=1)})
    with pytest.raises(InvalidArgument) as caught:
        classify(InferResponse("m", 1, (tensor,)), options, ModelSignature((), ()))
    assert caught.value.message == (
        f"class result not available for output 'y' due to unsupported type {dtype}"
    )


def test_too_many_elements() -> None:
    with pytest.raises(InvalidArgument, match="has 1000001 elements, at most 1000000"):
        _classify(np.zeros((1, 1_000_001), "u1"), 1)
