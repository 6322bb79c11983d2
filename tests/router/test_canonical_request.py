"""Law 11: a key holds the model, its version and the canonical inputs, and nothing else."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from penstock.core.deadline import Deadline
from penstock.core.dtype import DType
from penstock.core.messages import InferRequest, InferResponse, Timeline
from penstock.core.tensor import Tensor
from penstock.router.canonical_request import canonical_request, pack_answer, unpack_answer
from penstock.testing.strategies import dtypes, shapes, tensors

names = st.sampled_from(["a", "b", "ab", ""])
scalars = st.one_of(
    st.booleans(), st.integers(-(2**63), 2**63 - 1), st.text(max_size=3), st.floats(allow_nan=False)
)
parameters = st.dictionaries(names, scalars, max_size=3)
outputs = st.one_of(st.none(), st.lists(names, max_size=2, unique=True).map(tuple))


@st.composite
def inputs(draw: st.DrawFn) -> tuple[Tensor, ...]:
    chosen = draw(st.lists(names, max_size=3, unique=True))
    return tuple(draw(tensors(name, draw(dtypes), draw(shapes))) for name in chosen)


requests = st.builds(
    InferRequest,
    model=st.just("m"),
    inputs=inputs(),
    outputs=outputs,
    parameters=parameters,
)


def changed(asked: InferRequest, **fields: Any) -> InferRequest:
    """The same request but for some fields."""
    other = copy.copy(asked)
    for name, value in fields.items():
        setattr(other, name, value)
    return other


@given(requests, st.data())
def test_identity_and_order_are_not_part_of_it(asked: InferRequest, data: st.DataObject) -> None:
    other = changed(
        asked,
        inputs=tuple(data.draw(st.permutations(asked.inputs))),
        parameters=dict(data.draw(st.permutations(list(asked.parameters.items())))),
        id=data.draw(st.text(max_size=5)),
        deadline=data.draw(st.none() | st.builds(Deadline, st.integers())),
        priority=data.draw(st.integers(0, 9)),
        traceparent=data.draw(st.text(max_size=5)),
        timeline=Timeline(data.draw(st.integers(0, 99))),
    )
    assert canonical_request(other) == canonical_request(asked)


def _told_apart(one: InferRequest) -> tuple[object, ...]:
    """What an answer depends on, put another way."""
    by_name = sorted((t.name, str(t.dtype), t.shape, bytes(t.to_buffer())) for t in one.inputs)
    typed = sorted((name, type(v).__name__, repr(v)) for name, v in one.parameters.items())
    return by_name, one.outputs, typed


@given(requests, requests)
def test_different_questions_differ(one: InferRequest, other: InferRequest) -> None:
    same = _told_apart(one) == _told_apart(other)
    assert (canonical_request(one) == canonical_request(other)) is same


@given(requests, st.data())
def test_one_bit_of_an_input_tells(asked: InferRequest, data: st.DataObject) -> None:
    positions = [n for n, t in enumerate(asked.inputs) if t.dtype is not DType.BYTES]
    assume(positions)
    position = data.draw(st.sampled_from(positions))
    tensor = asked.inputs[position]
    content = bytearray(tensor.to_buffer())
    assume(content)
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    tensors = list(asked.inputs)
    tensors[position] = Tensor.from_buffer(tensor.name, tensor.dtype, tensor.shape, bytes(content))
    other = changed(asked, inputs=tuple(tensors))
    assert canonical_request(other) != canonical_request(asked)


def test_shapes_and_revisions_tell() -> None:
    content = np.zeros(4, np.float32)
    row = InferRequest("m", (Tensor("x", DType.FP32, content.reshape(1, 4)),))
    square = InferRequest("m", (Tensor("x", DType.FP32, content.reshape(2, 2)),))
    assert canonical_request(row) != canonical_request(square)
    assert canonical_request(row, "r1") != canonical_request(row, "r2")


def test_memory_layout_does_not_tell() -> None:
    square = np.arange(6, dtype=np.float32).reshape(2, 3)
    turned = np.asfortranarray(square)
    one, other = (InferRequest("m", (Tensor("x", DType.FP32, a),)) for a in (square, turned))
    assert canonical_request(one) == canonical_request(other)


@pytest.mark.parametrize("value", [2**64, "\ud800"])
def test_what_no_key_can_hold_is_refused(value: int | str) -> None:
    with pytest.raises((ValueError, OverflowError)):
        canonical_request(InferRequest("m", (), parameters={"p": value}))


@given(inputs(), parameters)
def test_an_answer_comes_back_bit_for_bit(
    tensors: tuple[Tensor, ...], parameters: dict[str, str | int | float | bool]
) -> None:
    response = InferResponse("m", 1, tensors, "id", parameters)
    got = unpack_answer(pack_answer(response))
    assert got is not None
    assert got[0] == tensors
    assert got[1] == parameters
    assert all(tensor.array.flags.writeable or not tensor.array.size for tensor in got[0])


def test_a_packed_answer_says_nothing_of_who_asked() -> None:
    tensors = (Tensor.from_array("y", np.ones(3)),)
    one = pack_answer(InferResponse("m", 1, tensors, "one"))
    assert one == pack_answer(InferResponse("m", 1, tensors, "other"))


@given(st.binary(max_size=60))
def test_any_bytes_are_an_answer_or_none(packed: bytes) -> None:
    unpack_answer(packed)


@given(inputs(), st.integers(0, 200), st.integers(0, 255))
def test_damaged_answers_break_nothing(
    tensors: tuple[Tensor, ...], position: int, byte: int
) -> None:
    packed = bytearray(pack_answer(InferResponse("m", 1, tensors)))
    packed[position % len(packed)] = byte
    unpack_answer(bytes(packed))
