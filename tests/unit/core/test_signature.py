"""The check of a request against a signature: every text."""

import numpy as np
import pytest

from penstock.core.dtype import DType
from penstock.core.errors import InvalidArgument
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Tensor

A = TensorSpec("a", DType.FP32, (-1, 2))
B = TensorSpec("b", DType.INT64, (-1,))
C = TensorSpec("c", DType.INT64, (-1,), optional=True)
OUT = (TensorSpec("y", DType.FP32, (-1,)), TensorSpec("z", DType.FP32, (-1,)))
SIGNATURE = ModelSignature((A, B, C), OUT)


def a(*shape: int, dtype: DType = DType.FP32, name: str = "a") -> Tensor:
    return Tensor(name, dtype, np.zeros(shape, dtype.numpy))


def b(rows: int, name: str = "b") -> Tensor:
    return a(rows, dtype=DType.INT64, name=name)


@pytest.mark.parametrize(
    ("inputs", "rows"),
    [
        ((a(3, 2), b(3)), 3),
        ((b(1), a(1, 2), b(1, "c")), 1),
        ((a(0, 2), b(0)), 0),
    ],
)
def test_what_fits(inputs: tuple[Tensor, ...], rows: int) -> None:
    assert SIGNATURE.check("m", inputs) == rows
    assert SIGNATURE.check("m", inputs, ["z"]) == rows
    assert SIGNATURE.check("m", inputs, []) == rows


def test_without_batches_there_is_one_row() -> None:
    signature = ModelSignature((A, B), OUT, batched=False)
    assert signature.check("m", (a(3, 2), b(5))) == 1


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        (
            (a(1, 2), b(1, "q")),
            "unexpected inference input 'q' for model 'm'. Its inputs are ['a', 'b', 'c']",
        ),
        (
            (a(1, 2, dtype=DType.FP64), b(1)),
            "inference input 'a' data-type is 'FP64', but model 'm' expects 'FP32'",
        ),
        (
            (a(1, 3), b(1)),
            "unexpected shape for input 'a' for model 'm'. Expected [-1,2], got [1,3]",
        ),
        (
            (a(2), b(1)),
            "unexpected shape for input 'a' for model 'm'. Expected [-1,2], got [2]; "
            "the first dimension is the batch: send [1,2]",
        ),
        (
            (a(), b(1)),
            "unexpected shape for input 'a' for model 'm'. Expected [-1,2], got []",
        ),
        (
            (a(2, 2), b(3)),
            "input 'b' batch size does not match other inputs for 'm': expected 2, got 3",
        ),
        (
            (a(1, 2),),
            "expected 3 inputs but got 1 inputs for model 'm'. Got input(s) ['a'], but missing "
            "required input(s) ['b']. Please provide all required input(s).",
        ),
        (
            (),
            "expected 3 inputs but got 0 inputs for model 'm'. Got input(s) [], but missing "
            "required input(s) ['a', 'b']. Please provide all required input(s).",
        ),
        ((a(1, 2), a(1, 2), b(1)), "input 'a' already exists in request"),
        ((a(1, 2), a(1, 2)), "input 'a' already exists in request"),
    ],
)
def test_what_does_not_fit(inputs: tuple[Tensor, ...], text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        SIGNATURE.check("m", inputs)
    assert caught.value.message == text


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["w"], "unexpected inference output 'w' for model 'm'. Its outputs are ['y', 'z']"),
        (["y", "y"], "output 'y' already exists in request"),
    ],
)
def test_wanted_outputs(names: list[str], text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        SIGNATURE.check("m", (a(1, 2), b(1)), names)
    assert caught.value.message == text


def test_some_input_must_come_even_where_all_are_optional() -> None:
    signature = ModelSignature((C,), OUT)
    assert signature.check("m", (b(2, "c"),)) == 2
    with pytest.raises(InvalidArgument) as caught:
        signature.check("m", ())
    assert caught.value.message == (
        "expected at least one of the inputs ['c'] for model 'm', got none"
    )


def test_lookup_by_name() -> None:
    assert SIGNATURE.input("b") is B
    assert SIGNATURE.input("y") is None
    assert SIGNATURE.output("y") is OUT[0]
    assert SIGNATURE.output("b") is None


class _Counted(str):
    """A name that counts how often it is compared."""

    __slots__ = ()
    __hash__ = str.__hash__
    compared = 0

    def __eq__(self, other: object) -> bool:
        _Counted.compared += 1
        return str.__eq__(self, other)


@pytest.mark.parametrize("left_out", [0, 1])
def test_each_of_many_inputs_is_looked_up_once(left_out: int) -> None:
    count = 300
    specs = [TensorSpec(_Counted(f"x{i}"), DType.FP32, (-1,), optional=True) for i in range(count)]
    signature = ModelSignature(tuple(specs), OUT)
    names = [_Counted(f"x{i}") for i in range(count - left_out)]
    inputs = tuple(Tensor(name, DType.FP32, np.zeros(1, np.float32)) for name in names)
    _Counted.compared = 0
    assert signature.check("m", inputs) == 1
    assert _Counted.compared <= 4 * count
