"""What is kept of a request: what stays valid, and no more memory than is told."""

from __future__ import annotations

import mmap
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.dtype import DType
from penstock.core.messages import InferRequest
from penstock.core.tensor import Tensor, object_array
from penstock.router import shadow_copy
from penstock.router.shadow_copy import (
    ELEMENT_BYTES,
    OVERHEAD_BYTES,
    SHADOW_PRIORITY,
    take_copy,
)
from penstock.scheduler.request_queue import DEFAULT_PRIORITY

MUCH = 10**9


def tensor(array: Any, name: str = "x") -> Tensor:
    return Tensor(name, DType.FP32, array)


def ask(*tensors: Tensor) -> InferRequest:
    return InferRequest("m", tensors)


def test_what_owns_its_memory_is_not_copied() -> None:
    question, answer = tensor(np.ones((2, 8), np.float32)), tensor(np.ones((2, 2), np.float32))
    copy = take_copy(ask(question), (answer,), MUCH, 0)
    assert copy is not None
    assert copy.inputs[0] is question
    assert copy.outputs[0] is answer
    assert copy.num_bytes == OVERHEAD_BYTES + 64 + 16


@pytest.mark.parametrize("make", [bytes, bytearray, lambda size: np.zeros(size, np.uint8).data])
def test_a_view_of_a_body_is_kept_and_the_body_counted(make: Any) -> None:
    body = make(100)
    question = tensor(np.frombuffer(memoryview(body)[20:], "<f4").reshape(1, 20))
    copy = take_copy(ask(question), (), MUCH, 0)
    assert copy is not None
    assert np.shares_memory(copy.inputs[0].array, question.array)
    assert copy.num_bytes == OVERHEAD_BYTES + 100


def test_a_small_part_of_something_large_is_copied() -> None:
    batch = np.ones((64, 2), np.float32)
    copy = take_copy(ask(), (tensor(batch).rows(3, 4),), MUCH, 0)
    assert copy is not None
    assert not np.shares_memory(copy.outputs[0].array, batch)
    assert copy.num_bytes == OVERHEAD_BYTES + 8


def test_memory_that_is_shared_with_another_process_is_copied() -> None:
    with mmap.mmap(-1, 4096) as shared:
        view = np.frombuffer(np.frombuffer(shared, np.uint8).data, np.uint8).view("<f4")
        copy = take_copy(ask(), (tensor(view.reshape(1, -1)),), MUCH, 0)
        assert copy is not None
        assert not np.shares_memory(copy.outputs[0].array, view)
        assert copy.num_bytes == OVERHEAD_BYTES + 4096
        del view


def texts(items: list[bytes]) -> Tensor:
    return Tensor("t", DType.BYTES, object_array(items))


def test_text_is_counted_with_its_lengths_and_its_objects() -> None:
    copy = take_copy(ask(texts([b"four", b""])), (), MUCH, 0)
    assert copy is not None
    assert copy.num_bytes == OVERHEAD_BYTES + 8 + 4 + 2 * ELEMENT_BYTES


def test_many_small_texts_are_not_held_beyond_what_they_take() -> None:
    def make() -> Tensor:
        return texts([b"%03d" % (number % 1000) for number in range(10_000)])

    tracemalloc.start()
    try:
        held = make()
        taken_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    copy = take_copy(ask(held), (), MUCH, 0)
    assert copy is not None
    assert copy.num_bytes >= taken_bytes
    assert take_copy(ask(held), (), copy.num_bytes - 1, 0) is None


def test_what_is_too_much_by_its_objects_is_not_looked_at_further() -> None:
    """The first check is by what the tensors themselves take: nothing was copied for it."""
    some = texts([b""] * 1000).rows(0, 500)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shadow_copy, "_kept", lambda _: pytest.fail("copied"))
        assert take_copy(ask(some), (), OVERHEAD_BYTES + 500 * ELEMENT_BYTES, 0) is None
        patch.setattr(shadow_copy, "_kept", lambda tensor: tensor)
        assert take_copy(ask(some), (), OVERHEAD_BYTES + 500 * (ELEMENT_BYTES + 4), 0)


def test_of_a_batch_of_texts_the_other_rows_are_not_kept() -> None:
    """They may be of any size, and are not counted."""
    batch = texts([b"mine", b"x" * 10**6])
    copy = take_copy(ask(), (batch.rows(0, 1),), MUCH, 0)
    assert copy is not None
    assert copy.outputs[0] == texts([b"mine"])
    assert not np.shares_memory(copy.outputs[0].array, batch.array)
    whole = Tensor("t", DType.BYTES, batch.array.reshape(2, 1))
    kept = take_copy(ask(whole), (), MUCH, 0)
    assert kept is not None
    assert kept.inputs[0] is whole


@pytest.mark.parametrize(
    "told",
    [
        {"id": "7" * 5000},
        {"parameters": {"note": "\N{SNOWMAN}" * 2500}},
        {"parameters": {"n" * 5000: 1}},
        {"parameters": {f"p{number}": number for number in range(100)}},
    ],
    ids=["id", "text", "name", "many"],
)
def test_the_id_and_the_parameters_are_counted(told: dict[str, Any]) -> None:
    asked = InferRequest("m", (tensor(np.ones((1, 2), np.float32)),), **told)
    copy = take_copy(asked, (), MUCH, 0)
    assert copy is not None
    assert OVERHEAD_BYTES + 8 + 5000 < copy.num_bytes < OVERHEAD_BYTES + 8 + 20_000
    assert take_copy(asked, (), copy.num_bytes, 0) is not None
    assert take_copy(asked, (), copy.num_bytes - 1, 0) is None


@given(st.integers(0, 600), st.integers(0, 600), st.integers(1, 4 * OVERHEAD_BYTES))
def test_a_copy_never_holds_more_than_it_may(before: int, after: int, max_bytes: int) -> None:
    body = bytes(before * 4 + 400 + after * 4)
    question = tensor(np.frombuffer(body, "<f4")[before : before + 100])
    copy = take_copy(ask(question), (question,), max_bytes, 0)
    if copy is not None:
        assert copy.num_bytes <= max_bytes
    else:
        assert max_bytes < OVERHEAD_BYTES + 2 * len(body)


def test_the_shadow_is_asked_last_of_all_and_by_its_number() -> None:
    asked = InferRequest(
        "m", (tensor(np.ones((1, 2), np.float32)),), id="7", priority=1, parameters={"a": 1}
    )
    copy = take_copy(asked, (), MUCH, now_ns=5_000_000_000)
    assert copy is not None
    request = copy.request(4, "", 2.0)
    assert request.choice.version == 4
    assert request.priority == SHADOW_PRIORITY > DEFAULT_PRIORITY
    assert request.deadline is not None
    assert request.deadline.at_ns == 7_000_000_000
    assert (request.id, request.parameters, request.outputs) == ("7", {"a": 1}, None)
    assert request.inputs == asked.inputs
    assert request.timeline is not asked.timeline
    assert copy.request(4, "y", 2.0).outputs == ("y",)
