"""ThreadInstance: results, errors, and the end."""

import asyncio
import logging
import threading

import numpy as np
import pytest

from penstock.core.errors import InvalidArgument, InvalidInput, MalformedAnswer, ModelFailed
from penstock.core.ids import ServableId
from penstock.core.tensor import Tensor
from penstock.runtime import instance as instance_module
from penstock.runtime.executable import ExecuteResult
from penstock.runtime.instance import Execution, ThreadInstance, Work
from penstock.testing.faulty_executable import FaultyExecutable

ID = ServableId("m", 1)
X = Tensor.from_array("x", np.ones((1, 2), np.float32))
LIMIT_S = 10


class Panic(BaseException):
    """As pyo3 raises it."""


class Mute(Exception):
    """Cannot even say what is wrong."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def make(*script: BaseException | ExecuteResult | None) -> tuple[ThreadInstance, FaultyExecutable]:
    executable = FaultyExecutable(script)
    return ThreadInstance(ID, executable, asyncio.get_running_loop()), executable


async def submitted(instance: ThreadInstance) -> Execution:
    done: asyncio.Future[Execution] = asyncio.get_running_loop().create_future()
    instance.submit(Work((X,), {}), done.set_result)
    return await asyncio.wait_for(done, LIMIT_S)


@pytest.fixture(autouse=True)
def _heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is logged reaches ``caplog``, whoever configured logging before."""
    monkeypatch.setattr(logging.getLogger("penstock"), "propagate", True)


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("odd"), "model 'm' version 1 failed: ValueError: odd"),
        (SystemExit(3), "model 'm' version 1 failed: SystemExit: 3"),
        (asyncio.CancelledError(), "model 'm' version 1 failed: CancelledError: "),
        (GeneratorExit(), "model 'm' version 1 failed: GeneratorExit: "),
        (StopIteration(7), "model 'm' version 1 failed: StopIteration: 7"),
        (Panic("rust"), "model 'm' version 1 failed: Panic: rust"),
        (Mute(), "model 'm' version 1 failed: Mute: <exception str() failed>"),
    ],
)
async def test_what_a_model_raises(
    error: BaseException, text: str, *, inline: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it is, the instance lives on."""
    instance, _ = make(error)
    execution = instance.run(Work((X,), {})) if inline else await submitted(instance)
    assert isinstance(execution.result, ModelFailed)
    assert execution.result.message == text
    (record,) = caplog.records
    assert record.getMessage() == "'m' version 1 raised"
    assert (vars(record)["model"], vars(record)["version"]) == ("m", 1)
    assert (await submitted(instance)).result == ExecuteResult((X,))
    await instance.close()


async def test_a_malformed_answer_names_the_model_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    error = MalformedAnswer("answered ['a'], declared ['b']")
    instance, _ = make(error, error)
    for _ in range(2):  # the second time as the error of a model that another one called
        result = instance.run(Work((X,), {})).result
        assert isinstance(result, MalformedAnswer)
        assert result.message == str(result) == "'m' version 1: answered ['a'], declared ['b']"
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == ("ERROR", error.message)
    assert (vars(record)["model"], vars(record)["version"]) == ("m", 1)
    await instance.close()


async def test_ctrl_c_on_the_main_thread_is_the_users() -> None:
    instance, _ = make(KeyboardInterrupt(), KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        instance.run(Work((X,), {}))
    assert isinstance((await submitted(instance)).result, ModelFailed)
    await instance.close()


async def test_a_refusal_that_cannot_be_read() -> None:
    refusal = InvalidInput(0, "bad")
    refusal.index = []  # type: ignore[assignment]
    instance, _ = make(refusal)
    assert isinstance((await submitted(instance)).result, ModelFailed)
    assert (await submitted(instance)).result == ExecuteResult((X,))
    await instance.close()


async def test_a_thread_that_could_not_be_started_is_started_by_the_next_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    instance, _ = make()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError, match="can't start"):
            instance.submit(Work((X,), {}), lambda _: None)
    assert (await submitted(instance)).result == ExecuteResult((X,))
    await instance.close()


async def test_typed_errors_pass() -> None:
    error = InvalidArgument("no")
    instance, _ = make(error, InvalidInput(0, "bad"))
    assert instance.run(Work((X,), {})).result is error
    result = instance.run(Work((X,), {})).result
    assert isinstance(result, ExecuteResult)
    assert result.outputs == ()
    assert result.invalid[0].reason == "bad"
    await instance.close()


async def test_work_is_done_on_its_own_thread_and_reported_on_the_loops() -> None:
    instance, executable = make()
    seen: list[str] = []
    executable.execute = lambda inputs, parameters: (  # type: ignore[method-assign]
        seen.append(threading.current_thread().name) or ExecuteResult(tuple(inputs))
    )
    execution = await submitted(instance)
    assert seen == ["penstock-m-1"]
    assert execution.started_ns <= execution.ended_ns
    await instance.close()
    assert executable.is_closed


async def test_closing_without_ever_having_worked() -> None:
    instance, executable = make()
    await instance.close()
    assert executable.is_closed


async def test_closing_waits_for_the_work_at_hand() -> None:
    instance, executable = make()
    gate, entered = threading.Event(), threading.Event()

    def execute(inputs: object, parameters: object) -> ExecuteResult:
        entered.set()
        gate.wait(LIMIT_S)
        return ExecuteResult((X,))

    executable.execute = execute  # type: ignore[method-assign,assignment]
    work = asyncio.create_task(submitted(instance))
    await asyncio.to_thread(entered.wait, LIMIT_S)
    closing = asyncio.create_task(instance.close())
    await asyncio.sleep(0)
    assert not closing.done()
    assert not executable.is_closed
    gate.set()
    await asyncio.wait_for(closing, LIMIT_S)
    assert (await work).result == ExecuteResult((X,))
    assert executable.is_closed


async def test_a_copy_that_hangs_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(instance_module, "_CLOSE_TIMEOUT_S", 0.01)
    instance, executable = make()
    gate = threading.Event()
    executable.execute = lambda inputs, parameters: (  # type: ignore[method-assign]
        gate.wait(LIMIT_S) and ExecuteResult((X,))
    )
    work = asyncio.create_task(submitted(instance))
    await asyncio.sleep(0)
    await instance.close()
    assert "'m' version 1 hangs; its thread and memory are left behind" in caplog.text
    assert not executable.is_closed
    gate.set()
    await work
