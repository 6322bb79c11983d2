"""BlockingClient: models that call models."""

import asyncio

import numpy as np
import pytest

from penstock.core.dtype import DType
from penstock.core.errors import (
    Cancelled,
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    ModelFailed,
    NotFound,
    NotReady,
    Overloaded,
    PenstockError,
    TooLarge,
    Unsupported,
)
from penstock.core.ids import ServableId, VersionChoice
from penstock.core.messages import InferRequest, InferResponse
from penstock.core.tensor import Tensor
from penstock.runtime.blocking_client import BlockingClient
from penstock.runtime.executable import ExecuteResult
from penstock.runtime.instance import Execution, ThreadInstance, Work
from penstock.testing.faulty_executable import FaultyExecutable

LIMIT_S = 10


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


async def called_by_a_model(echo: Echo, deadline_ns: int | None = None) -> Execution:
    """What a model 'outer' answers that does nothing but call 'inner'."""
    client = client_of(echo)

    class Outer(FaultyExecutable):
        def execute(self, inputs: object, parameters: object) -> ExecuteResult:
            array = client.infer("inner", x=np.ones((1, 2)))["x"]
            return ExecuteResult((Tensor.from_array("x", array),))

    loop = asyncio.get_running_loop()
    instance = ThreadInstance(ServableId("outer", 1), Outer(), loop)
    done: asyncio.Future[Execution] = loop.create_future()
    instance.submit(Work((), {}, deadline_ns), done.set_result)
    execution = await asyncio.wait_for(done, LIMIT_S)
    await instance.close()
    return execution


async def test_a_call_has_the_time_of_the_requests_it_is_made_for() -> None:
    echo = Echo()
    for deadline_ns in (123, None):
        assert isinstance((await called_by_a_model(echo, deadline_ns)).result, ExecuteResult)
    first, second = echo.requests
    assert first.deadline is not None
    assert first.deadline.at_ns == 123
    assert second.deadline is None


@pytest.mark.parametrize("kind", [NotReady, Overloaded, DeadlineExceeded])
async def test_an_inner_model_that_is_busy_or_late_makes_the_outer_so(
    kind: type[PenstockError],
) -> None:
    error = (await called_by_a_model(Echo(kind("not now", retry_after_s=3)))).result
    assert type(error) is kind
    assert error.message == "'outer' version 1: its call to model 'inner': not now"
    assert error.retry_after_s == 3


@pytest.mark.parametrize("kind", [NotFound, Unsupported, TooLarge, Cancelled, Internal])
async def test_what_else_is_wrong_with_the_inner_call_is_the_outer_models_failure(
    kind: type[PenstockError],
) -> None:
    error = (await called_by_a_model(Echo(kind("no such thing")))).result
    assert type(error) is ModelFailed
    assert error.message == (
        "'outer' version 1: its call to model 'inner' was refused: no such thing"
    )


async def test_an_inner_models_own_failure_stays_as_it_is() -> None:
    failure = ModelFailed("model 'inner' version 1 failed", is_reported=True)
    assert (await called_by_a_model(Echo(failure))).result is failure


async def test_errors_of_a_call_for_no_request_reach_the_caller() -> None:
    error = NotFound("no model 'other'")
    with pytest.raises(NotFound) as caught:
        await asyncio.to_thread(client_of(Echo(error)).infer, "other")
    assert caught.value is error


async def test_a_wrong_call_is_the_calling_models_fault() -> None:
    client = client_of(Echo(InvalidArgument("unexpected shape")))
    with pytest.raises(ModelFailed) as caught:
        await asyncio.to_thread(client.infer, "other")
    assert caught.value.message == "its call to model 'other' was refused: unexpected shape"
