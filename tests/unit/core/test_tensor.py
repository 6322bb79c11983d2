"""Tensor: views, bytes, and what it refuses."""

import numpy as np
import pytest

from penstock.core.dtype import DType
from penstock.core.errors import InvalidArgument
from penstock.core.tensor import Tensor, bytes_array, count_elements, object_array

FIXED = [dtype for dtype in DType if dtype is not DType.BYTES]


@pytest.mark.parametrize("dtype", FIXED)
def test_a_buffer_is_viewed_not_copied(dtype: DType) -> None:
    buffer = bytearray(6 * dtype.itemsize_bytes)
    tensor = Tensor.from_buffer("x", dtype, (2, 3), memoryview(buffer))
    assert (tensor.name, tensor.dtype, tensor.shape) == ("x", dtype, (2, 3))
    assert tensor.array.dtype == dtype.numpy
    assert np.shares_memory(tensor.array, np.frombuffer(buffer, np.uint8))
    assert np.shares_memory(np.frombuffer(tensor.to_buffer(), np.uint8), tensor.array)
    assert tensor.num_bytes == len(buffer)


@pytest.mark.parametrize("dtype", FIXED)
@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (1, 1, 2)])
def test_any_shape_there_and_back(dtype: DType, shape: tuple[int, ...]) -> None:
    tensor = Tensor("x", dtype, np.ones(shape, dtype.numpy))
    assert Tensor.from_buffer("x", dtype, shape, bytes(tensor.to_buffer())) == tensor


def test_rows_and_names_share_memory() -> None:
    tensor = Tensor.from_array("x", np.arange(6).reshape(3, 2))
    assert tensor.rows(1, 3).array.tolist() == [[2, 3], [4, 5]]
    assert np.shares_memory(tensor.rows(1, 3).array, tensor.array)
    assert tensor.renamed("y").name == "y"
    assert tensor.renamed("y").array is tensor.array


def test_strings() -> None:
    raw = b"\x02\x00\x00\x00ab\x00\x00\x00\x00\x01\x00\x00\x00\xff"
    tensor = Tensor.from_buffer("x", DType.BYTES, (3, 1), raw)
    assert tensor.array.tolist() == [[b"ab"], [b""], [b"\xff"]]
    assert tensor.to_buffer() == raw
    assert tensor.num_bytes == len(raw)


@pytest.mark.parametrize(
    ("shape", "raw", "text"),
    [
        (
            (1,),
            b"\x02\x00",
            "incomplete string length indicator for inference input 'x': "
            "expected 4 bytes at offset 0, got 2",
        ),
        (
            (1,),
            b"\x05\x00\x00\x00ab",
            "incomplete string data for inference input 'x': "
            "expected a string of 5 bytes at offset 4, got 2",
        ),
        (
            (2,),
            b"\x00\x00\x00\x00",
            "expected 2 string elements for inference input 'x', got 1",
        ),
        (
            (1,),
            b"\x00\x00\x00\x00" * 3,
            "expected 1 string elements for inference input 'x', got more than 1",
        ),
        ((), b"", "expected 1 string elements for inference input 'x', got 0"),
    ],
)
def test_broken_strings(shape: tuple[int, ...], raw: bytes, text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Tensor.from_buffer("x", DType.BYTES, shape, raw)
    assert caught.value.message == text


def test_a_buffer_of_the_wrong_size() -> None:
    with pytest.raises(InvalidArgument) as caught:
        Tensor.from_buffer("x", DType.FP32, (2, 2), b"\0" * 15)
    assert caught.value.message == "input byte size mismatch for input 'x'. Expected 16, got 15"


@pytest.mark.parametrize("dtype", [DType.FP32, DType.BYTES])
@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((2, -1), "input 'x': every dimension of 'shape' must be >= 0, got [2, -1]"),
        (
            (2**20, 2**21),
            f"input 'x': shape [{2**20}, {2**21}] holds {2**41} elements, "
            f"more than the limit of {2**40}",
        ),
        (
            (0, 2**40, 2),
            f"input 'x': shape [0, {2**40}, 2] holds {2**41} elements, "
            f"more than the limit of {2**40}",
        ),
        ((1,) * 33, "input 'x': 'shape' has 33 dimensions, more than the limit of 32"),
    ],
)
def test_shapes_beyond_reason(dtype: DType, shape: tuple[int, ...], text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Tensor.from_buffer("x", dtype, shape, b"")
    assert caught.value.message == text


def test_elements_are_counted() -> None:
    assert count_elements("x", ()) == 1
    assert count_elements("x", (2, 3)) == 6
    assert count_elements("x", (2, 0, 3)) == 0


def test_the_array_must_be_the_datatypes() -> None:
    with pytest.raises(InvalidArgument) as caught:
        Tensor("x", DType.FP32, np.zeros(1))
    assert caught.value.message == "tensor 'x': FP32 is held in numpy float32, got float64"


def test_arrays_of_any_origin() -> None:
    big_endian = np.array([1.5, -2.0], dtype=">f4")
    tensor = Tensor.from_array("x", big_endian)
    assert (tensor.dtype, tensor.array.tolist()) == (DType.FP32, [1.5, -2.0])
    array = np.arange(3)
    assert Tensor.from_array("x", array).array is array
    texts = Tensor.from_array("x", np.array([["é", "b"]]))
    assert (texts.dtype, texts.array.tolist()) == (DType.BYTES, [["é".encode(), b"b"]])
    assert Tensor.from_array("x", np.array([b"a"])).array.tolist() == [b"a"]


def test_arrays_that_are_no_tensors() -> None:
    with pytest.raises(InvalidArgument) as caught:
        Tensor.from_array("x", np.zeros(1, complex))
    assert caught.value.message == "tensor 'x': no Open Inference datatype holds numpy complex128"
    with pytest.raises(InvalidArgument) as caught:
        bytes_array(object_array(["a", 1]))
    assert caught.value.message == "BYTES elements are text or bytes, got int"


def test_equality_is_of_bits() -> None:
    def of(*items: float, name: str = "x") -> Tensor:
        return Tensor.from_array(name, np.array(items, np.float32))

    assert of(np.nan) == of(np.nan)
    assert of(0.0) != of(-0.0)
    assert of(1) != of(1, name="y")
    assert of(1) != Tensor.from_array("x", np.array([1065353216], np.int32))
    assert of(1, 2) != Tensor.from_array("x", np.array([[1, 2]], np.float32))
    assert of(1) != "x"
    assert repr(of(1, 2)) == "Tensor('x', FP32, [2])"
    with pytest.raises(TypeError, match="unhashable"):
        hash(of(1))


def test_strided_arrays_are_laid_out_when_they_leave() -> None:
    array = np.arange(6, dtype=np.int32).reshape(2, 3).T
    assert bytes(Tensor("x", DType.INT32, array).to_buffer()) == array.tobytes("C")


def test_items_that_are_lists_stay_items() -> None:
    assert object_array([[1], [2]]).shape == (2,)
    assert object_array([]).shape == (0,)
