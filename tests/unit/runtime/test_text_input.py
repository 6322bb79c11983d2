"""Text inputs: what is read, and the one wording of what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from penstock.core.dtype import DType
from penstock.core.errors import InvalidInput
from penstock.core.tensor import Tensor, object_array
from penstock.runtime.text_input import elements, read_texts

WORDING = "input 't': expected UTF-8 text, got other bytes"


def tensor(*items: bytes, shape: tuple[int, ...]) -> Tensor:
    return Tensor("t", DType.BYTES, object_array(items).reshape(shape))


def test_bytes_become_text_and_numbers_stay() -> None:
    given = tensor(b"a", "é".encode(), b"", b"\0", shape=(2, 2))
    assert elements(given).tolist() == [["a", "é"], ["", "\0"]]
    assert elements(tensor(shape=(0, 3))).shape == (0, 3)
    numbers = np.zeros((2, 2), np.float32)
    assert elements(Tensor("x", DType.FP32, numbers)) is numbers


@pytest.mark.parametrize(
    ("shape", "row"), [((4,), 3), ((2, 2), 1), ((1, 4), 0), ((2, 1, 2), 1), ((4, 1), 3)]
)
def test_other_bytes_are_refused_by_row(shape: tuple[int, ...], row: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        elements(tensor(b"a", b"b", b"c", b"\xff", shape=shape))
    assert (caught.value.index, caught.value.reason) == (row, WORDING)


def test_a_scalar_has_one_row() -> None:
    with pytest.raises(InvalidInput) as caught:
        elements(tensor(b"\xff", shape=()))
    assert caught.value.index == 0


def test_good_rows_are_read_beside_bad_ones() -> None:
    assert read_texts("t", [b"a", b"b"]) == ["a", "b"]
    good, bad, last = read_texts("t", [b"a", b"\xff", b"c"])
    assert (good, last) == ("a", "c")
    assert isinstance(bad, InvalidInput)
    assert (bad.index, bad.reason) == (1, WORDING)
