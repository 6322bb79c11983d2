"""Padding, resolved and applied."""

import numpy as np
import pytest

from penstock.core.dtype import DType
from penstock.core.errors import ConfigError
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Tensor, object_array
from penstock.repository.manifest import Pad
from penstock.scheduler.padding import Padding


def spec(name: str, *shape: int, dims: tuple[str, ...] = ()) -> TensorSpec:
    return TensorSpec(name, DType.INT64, shape, dims)


TOKENS = ModelSignature(
    (spec("ids", -1, -1), spec("mask", -1, -1), spec("fixed", -1, 4)),
    (spec("states", -1, -1, 8), spec("label", -1)),
)


def test_every_free_input_is_padded_unless_some_are_named() -> None:
    assert Padding.resolve(Pad(), TOKENS).inputs == {"ids", "mask"}
    assert Padding.resolve(Pad(inputs=("mask",)), TOKENS).inputs == {"mask"}
    assert Padding.resolve(Pad(), TOKENS).outputs == {"states"}


def test_outputs_follow_the_name_of_the_dimension() -> None:
    signature = ModelSignature(
        (spec("ids", -1, -1, dims=("n", "len")),),
        (
            spec("states", -1, -1, dims=("n", "len")),
            spec("found", -1, -1, dims=("n", "num_found")),
            spec("nameless", -1, -1),
        ),
    )
    assert Padding.resolve(Pad(), signature).outputs == {"states"}


@pytest.mark.parametrize("name", ["fixed", "nobody"])
def test_an_input_that_cannot_be_padded(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Padding.resolve(Pad(inputs=(name,)), TOKENS)
    assert caught.value.message == (
        f"batching.pad: input '{name}' cannot be padded along axis 1; "
        "inputs that can: ['ids', 'mask']"
    )


def test_nothing_to_pad() -> None:
    with pytest.raises(ConfigError) as caught:
        Padding.resolve(Pad(axis=2), TOKENS)
    assert caught.value.message == "batching.pad: no input is free along axis 2"


def test_lengths() -> None:
    padding = Padding.resolve(Pad(), TOKENS)
    tensors = tuple(
        Tensor(name, DType.INT64, np.zeros((1, n), np.int64))
        for name, n in (("ids", 3), ("mask", 5), ("fixed", 99))
    )
    assert padding.length(tensors) == 5


def test_stacking_fills_up_to_the_multiple() -> None:
    padding = Padding.resolve(Pad(to_multiple_of=4, value=-1), TOKENS)
    stacked = padding.stack([np.array([[1, 2]]), np.array([[3, 4, 5], [6, 7, 8]])])
    assert stacked.tolist() == [[1, 2, -1, -1], [3, 4, 5, -1], [6, 7, 8, -1]]


def test_stacking_copies_nothing_where_nothing_is_missing() -> None:
    padding = Padding.resolve(Pad(to_multiple_of=4), TOKENS)
    array = np.zeros((2, 4))
    assert padding.stack([array]) is array
    assert padding.stack([array, array]).shape == (4, 4)


def test_bytes_are_filled_with_empty_ones() -> None:
    texts = ModelSignature((TensorSpec("x", DType.BYTES, (-1, -1)),), ())
    padding = Padding.resolve(Pad(), texts)
    stacked = padding.stack(
        [object_array([b"a", b"b"]).reshape(1, 2), object_array([b"c"]).reshape(1, 1)]
    )
    assert stacked.tolist() == [[b"a", b"b"], [b"c", b""]]


def test_cutting_leaves_other_outputs_alone() -> None:
    padding = Padding.resolve(Pad(), TOKENS)
    label = Tensor("label", DType.INT64, np.zeros(2, np.int64))
    states = Tensor("states", DType.INT64, np.arange(32).reshape(1, 4, 8))
    assert padding.cut(label, 1) is label
    assert padding.cut(states, 4) is states
    assert padding.cut(states, 9) is states
    cut = padding.cut(states, 3)
    assert cut.shape == (1, 3, 8)
    assert np.shares_memory(cut.array, states.array)
