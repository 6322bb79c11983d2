"""What goes over the channel comes out as it was."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.dtype import DType
from penstock.core.tensor import Tensor, object_array
from penstock.runtime.process.frame import BadFrame, TensorHead
from penstock.runtime.process.tensor_block import (
    SHARED_MIN_BYTES,
    Packed,
    pack,
    shared_bytes,
    unpack,
)
from penstock.testing.strategies import tensors

LARGE = Tensor("large", DType.FP32, np.arange(SHARED_MIN_BYTES // 4, dtype="<f4").reshape(4, -1))


def body(packed: Packed) -> memoryview:
    return memoryview(b"".join(packed.parts))


SHAPES = st.sampled_from([(), (0,), (3,), (2, 0, 3), (2, 3)])
ANY_TENSOR = st.builds(lambda *args: args, st.text(), st.sampled_from(DType), SHAPES).flatmap(
    lambda args: tensors(*args)
)


@given(st.lists(ANY_TENSOR, max_size=4))
def test_every_tensor_comes_out_as_it_went_in(sent: list[Tensor]) -> None:
    packed = pack(sent, None)
    assert packed.num_bytes == len(body(packed))
    assert list(unpack(packed.heads, body(packed), None)) == sent


def test_large_tensors_go_through_the_segment_and_small_ones_do_not() -> None:
    small = Tensor("small", DType.INT64, np.arange(3))
    text = Tensor("text", DType.BYTES, object_array([b"x" * SHARED_MIN_BYTES]))
    sent = [small, LARGE, text, LARGE.renamed("again")]
    segment = np.zeros(shared_bytes(sent), np.uint8)
    packed = pack(sent, segment)
    assert [head.offset for head in packed.heads] == [-1, 0, -1, LARGE.array.nbytes]
    assert packed.num_bytes < SHARED_MIN_BYTES + 100
    came = unpack(packed.heads, body(packed), segment)
    assert list(came) == sent
    assert np.shares_memory(came[1].array, segment)


def test_strided_arrays_are_laid_out_again() -> None:
    strided = Tensor("t", DType.FP32, LARGE.array.repeat(2, axis=1)[:, ::2])
    segment = np.zeros(shared_bytes([strided]), np.uint8)
    packed = pack([strided], segment)
    assert list(unpack(packed.heads, body(packed), segment)) == [strided]


def test_what_comes_out_is_read_only() -> None:
    packed = pack([LARGE], None)
    (came,) = unpack(packed.heads, memoryview(bytearray(body(packed))), None)
    with pytest.raises(ValueError, match="read-only"):
        came.array[0, 0] = 1


@pytest.mark.parametrize(
    "head",
    [
        TensorHead("t", "FP32", (2,), 8),
        TensorHead("t", "FP32", (2,), 4),
        TensorHead("t", "BYTES", (1,), 4),
        TensorHead("t", "FP32", (1,), 4, offset=0),
    ],
    ids=["cut off", "another shape", "no list", "no segment"],
)
def test_what_makes_no_sense_is_a_bad_frame(head: TensorHead) -> None:
    with pytest.raises(BadFrame, match="tensor 't'"):
        unpack([head], memoryview(b"\x01\x02\x03\x04"), None)
