"""Golden requests: what is alike, what differs and where, and what has to be asked again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.errors import InvalidArgument, NotReady
from penstock.core.ids import VersionChoice
from penstock.core.messages import InferRequest, InferResponse
from penstock.core.tensor import Tensor
from penstock.rollout.golden import ask_golden, differences
from penstock.rollout.spec import GoldenRequest
from tests.unit.rollout.rollouts import a_spec


def a_response(**outputs: Any) -> InferResponse:
    tensors = tuple(
        Tensor.from_array(name, np.asarray(value, object if _is_text(value) else None))
        for name, value in outputs.items()
    )
    return InferResponse("digits", 2, tensors)


def _is_text(value: Any) -> bool:
    while isinstance(value, list) and value:
        value = value[0]
    return isinstance(value, str)


def differs(expected: object, actual: object, tolerance: float = 1e-3) -> str:
    golden = GoldenRequest(request={}, outputs={"y": expected}, tolerance=tolerance)
    return differences(golden, a_response(y=actual))


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ([1, 2], [1.0005, 2.0]),
        ([[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [3.0, 4.0]]),
        ([1.0, 2.0, 3.0, 4.0], [[1.0, 2.0], [3.0, 4.0]]),
        (["cat", "é"], ["cat", "é"]),
        ([True, False], [True, False]),
        ([], []),
    ],
)
def test_alike(expected: object, actual: object) -> None:
    assert differs(expected, actual) == ""


@pytest.mark.parametrize(
    ("expected", "actual", "told"),
    [
        ([1.0], [1.1], "output 'y' at [0]: 1.0 expected, got 1.1"),
        ([[1.0, 2.0]], [[1.0, 9.0]], "output 'y' at [0, 1]: 2.0 expected, got 9.0"),
        ([1.0], [1.0, 2.0], "output 'y': 1 elements expected, got 2"),
        (["cat"], ["dog"], "output 'y' at [0]: 'cat' expected, got 'dog'"),
        ([1.0], [float("nan")], "output 'y' at [0]: 1.0 expected, got nan"),
        ([True], [1], "output 'y' at [0]: True expected, got 1"),
        ([1], [True], "output 'y' at [0]: 1 expected, got True"),
        (["1"], [1.0], "output 'y' at [0]: '1' expected, got 1.0"),
        (3.0, [3.0], "output 'y': 3.0 expected, got [3.0]"),
    ],
)
def test_different(expected: object, actual: object, told: str) -> None:
    assert differs(expected, actual) == told


def test_an_output_that_is_not_there() -> None:
    golden = GoldenRequest(request={}, outputs={"label": ["cat"]})
    assert differences(golden, a_response(y=[1.0])) == "there is no output 'label', only y"


@given(st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1), st.floats(0, 1))
def test_an_answer_is_like_itself_and_unlike_one_beyond_the_tolerance(
    values: list[float], tolerance: float
) -> None:
    assert differs(values, values, tolerance) == ""
    moved = [values[0] + 2 * tolerance + 1.0, *values[1:]]
    assert differs(values, moved, tolerance).startswith("output 'y' at [0]")


class Client:
    def __init__(self, answer: Callable[[InferRequest], InferResponse]) -> None:
        self.asked: list[InferRequest] = []
        self._answer = answer

    async def infer(self, request: InferRequest) -> InferResponse:
        self.asked.append(request)
        return self._answer(request)


def read(body: bytes, model: str, choice: VersionChoice) -> InferRequest:
    if b"wrong" in body:
        raise InvalidArgument("no such input")
    return InferRequest(model, (), choice, body.decode())


GOLDEN = GoldenRequest(request={"inputs": []}, outputs={"y": [1.0]})


async def test_the_candidate_itself_is_asked() -> None:
    client = Client(lambda request: a_response(y=[1.0]))
    assert await ask_golden(client, read, a_spec(golden=(GOLDEN, GOLDEN))) == ("", True)
    assert [one.choice for one in client.asked] == [VersionChoice(version=2)] * 2
    assert client.asked[0].id == '{"inputs":[]}'


async def test_a_wrong_answer_ends_it() -> None:
    client = Client(lambda request: a_response(y=[2.0]))
    differs, is_final = await ask_golden(client, read, a_spec(golden=(GOLDEN, GOLDEN)))
    assert differs == "golden request 1: output 'y' at [0]: 1.0 expected, got 2.0"
    assert is_final
    assert len(client.asked) == 1


async def test_a_request_that_the_candidate_refuses_is_wrong_for_good() -> None:
    wrong = GoldenRequest(request={"inputs": "wrong"})
    client = Client(lambda request: a_response())
    found = await ask_golden(client, read, a_spec(golden=(wrong,)))
    assert found == ("golden request 1: no such input", True)


async def test_a_candidate_that_is_not_ready_is_asked_again() -> None:
    def answer(request: InferRequest) -> InferResponse:
        raise NotReady("it loads")

    found = await ask_golden(Client(answer), read, a_spec(golden=(GOLDEN,)))
    assert found == ("golden request 1: it loads", False)
