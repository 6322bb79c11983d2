"""Tensors as short text."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.dtype import DType
from penstock.core.tensor import Tensor
from penstock.router.shadow_text import MAX_CHARACTERS, tensors_text
from penstock.testing.strategies import tensors


def test_the_row_is_told() -> None:
    numbers = Tensor("x", DType.FP32, np.array([[1, 2], [0.1, np.nan]], np.float32))
    words = Tensor("t", DType.BYTES, np.array([b"a", "é".encode() + b"\xff"], object))
    assert tensors_text([numbers, words], 1, 2) == '{"x": [0.1, NaN], "t": ["é\ufffd"]}'


def test_what_has_other_rows_is_told_whole() -> None:
    scalar = Tensor("s", DType.INT64, np.array(3))
    other = Tensor("o", DType.BOOL, np.array([True, False, True]))
    assert json.loads(tensors_text([scalar, other], 1, 2)) == {"s": [3], "o": [True, False, True]}


def test_bf16_is_told_as_a_number() -> None:
    assert (
        tensors_text([Tensor("b", DType.BF16, np.array([0x3F80], "<u2"))], 0, 1) == '{"b": [1.0]}'
    )


@given(
    st.lists(
        st.tuples(st.sampled_from(DType), st.sampled_from([(), (0,), (1, 3), (4, 2)])).flatmap(
            lambda form: tensors("x", *form)
        ),
        max_size=3,
    )
)
def test_it_is_short_whatever_it_is_of(several: list[Tensor]) -> None:
    assert len(tensors_text(several, 0, 1)) <= MAX_CHARACTERS


def test_a_large_tensor_is_cut() -> None:
    text = tensors_text([Tensor("x", DType.FP32, np.zeros(10**6, np.float32))], 0, 1)
    assert len(text) == MAX_CHARACTERS
    assert text.endswith("...")
