"""Laws of tensors: bytes and back, slices and names."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.dtype import DType
from penstock.core.errors import InvalidArgument
from penstock.core.tensor import Tensor
from penstock.testing.strategies import any_tensors


@given(any_tensors)
def test_there_and_back(tensor: Tensor) -> None:
    buffer = tensor.to_buffer()
    assert len(buffer) == tensor.num_bytes
    again = Tensor.from_buffer(tensor.name, tensor.dtype, tensor.shape, bytes(buffer))
    assert again == tensor
    if tensor.dtype is not DType.BF16:
        assert Tensor.from_array(tensor.name, tensor.array) == tensor


@given(any_tensors)
def test_layout_in_memory_is_nobodys_business(tensor: Tensor) -> None:
    fortran = Tensor(tensor.name, tensor.dtype, np.asfortranarray(tensor.array))
    assert bytes(fortran.to_buffer()) == bytes(tensor.to_buffer())


@given(st.sampled_from(list(DType)), st.lists(st.integers(), max_size=70), st.binary(max_size=40))
def test_any_shape_and_bytes_are_a_tensor_or_a_typed_error(
    dtype: DType, shape: list[int], buffer: bytes
) -> None:
    try:
        tensor = Tensor.from_buffer("x", dtype, tuple(shape), buffer)
    except InvalidArgument:
        return
    assert bytes(tensor.to_buffer()) == buffer
    assert tensor.shape == tuple(shape)
