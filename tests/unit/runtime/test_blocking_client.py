"""BlockingClient: models that call models."""

import asyncio

import numpy as np
import pytest

from penstock.core.dtype import DType
from penstock.core.errors import InvalidArgument, ModelFailed, NotFound
from penstock.core.ids import VersionChoice
from penstock.core.messages import InferRequest, InferResponse
from penstock.runtime.blocking_client import BlockingClient


class Echo:
    """Answers with its inputs, or raises what it was told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.requests: list[InferRequest] = []

    async def infer(self, request: InferRequest) -> InferResponse:
        self.requests.append(request)
        if self.error is not None:
            raise self.error
        return InferResponse(request.model, 1, request.inputs)


def client_of(echo: Echo) -> BlockingClient:
    return BlockingClient(echo, asyncio.get_running_loop())


async def test_a_call_from_another_thread() -> None:
    echo = Echo()
    client = client_of(echo)
    answer = await asyncio.to_thread(
        client.infer, "other", version="stable", x=[[1.0, 2.0]], text=["a"]
    )
    assert answer["x"].tolist() == [[1, 2]]
    assert answer["text"].tolist() == [b"a"]
    (request,) = echo.requests
    assert (request.model, request.choice) == ("other", VersionChoice(label="stable"))
    assert [(t.name, t.dtype) for t in request.inputs] == [
        ("x", DType.FP64),
        ("text", DType.BYTES),
    ]


async def test_the_event_loops_thread_may_not_wait_for_itself() -> None:
    client = client_of(Echo())
    with pytest.raises(ModelFailed) as caught:
        client.infer("other", x=np.zeros(1))
    assert caught.value.message == (
        "a model that calls other models must not be inline_safe: it would wait for itself"
    )


async def test_errors_reach_the_caller() -> None:
    error = NotFound("no model 'other'")
    with pytest.raises(NotFound) as caught:
        await asyncio.to_thread(client_of(Echo(error)).infer, "other")
    assert caught.value is error


async def test_a_wrong_call_is_the_calling_models_fault() -> None:
    client = client_of(Echo(InvalidArgument("unexpected shape")))
    with pytest.raises(ModelFailed) as caught:
        await asyncio.to_thread(client.infer, "other")
    assert caught.value.message == "its call to model 'other' was refused: unexpected shape"
