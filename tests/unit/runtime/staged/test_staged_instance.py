"""StagedInstance: stages side by side, outcomes apart, and the end."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable

import pytest

from penstock.core.errors import DeadlineExceeded, MalformedAnswer, ModelFailed
from penstock.runtime.caller import CALLER, Caller
from penstock.runtime.executable import declared_bytes
from penstock.runtime.instance import Instance, Work
from penstock.runtime.python_runtime import PythonExecutable
from penstock.runtime.staged import staged_model as staged_model_module
from penstock.testing.fake_clock import FakeClock
from tests.unit.runtime.python_models import Load
from tests.unit.runtime.staged.play import (
    ID,
    LIMIT_S,
    MODEL,
    STAGES,
    Play,
    answer,
    batch,
    close,
    ended,
    make,
    submitted,
)

Copies = Callable[[int], list[PythonExecutable]]


@pytest.fixture
def play() -> Play:
    return Play()


@pytest.fixture
def copies(load: Load, play: Play) -> Copies:
    """Any number of copies of the model, which are closed when the test is over."""
    return lambda count: [load(MODEL, runtime_options={"play": play}) for _ in range(count)]


@pytest.fixture(autouse=True)
def _heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is logged reaches ``caplog``, whoever configured logging before."""
    monkeypatch.setattr(logging.getLogger("penstock"), "propagate", True)


def threads() -> set[str]:
    return {t.name for t in threading.enumerate() if t.name.startswith("penstock-m-1")}


async def test_a_batch_overtakes_one_that_waits_in_preprocess(copies: Copies, play: Play) -> None:
    instances = make(*copies(1), preprocess=2)
    gate = play.hold("preprocess", 10)
    slow = submitted(instances[0], 10, 20)
    await gate.reached()
    assert await ended(submitted(instances[1], 5)) == answer(5)
    assert not slow.done()
    gate.open()
    assert await ended(slow) == answer(10, 20)
    await close(instances)


@pytest.mark.parametrize(
    ("counts", "held", "meanwhile"),
    [
        ({"preprocess": 1}, "predict", "preprocess"),
        ({"postprocess": 1}, "postprocess", "predict"),
        ({"preprocess": 1, "postprocess": 1}, "predict", "preprocess"),
    ],
)
async def test_stages_apart_run_at_the_same_time(
    copies: Copies, play: Play, counts: dict[str, int], held: str, meanwhile: str
) -> None:
    instances = make(*copies(1), clock=None, **counts)
    first_gate = play.hold(held, 10 + STAGES.index(held))
    second_gate = play.hold(meanwhile, 50 + STAGES.index(meanwhile))
    first = submitted(instances[0], 10)
    await first_gate.reached()
    second = submitted(instances[1], 50)
    await second_gate.reached()
    first_gate.open()
    second_gate.open()
    assert await ended(first) == answer(10)
    assert await ended(second) == answer(50)
    await close(instances)


async def test_no_more_batches_are_in_a_stage_than_its_count(copies: Copies, play: Play) -> None:
    instances = make(*copies(1), preprocess=2)
    gates = [play.hold("preprocess", value) for value in (10, 20, 30)]
    done = [submitted(*pair) for pair in zip(instances, (10, 20, 30), strict=True)]
    await gates[0].reached()
    await gates[1].reached()  # both threads are held
    assert [call.values for call in play.calls] == [[10], [20]]
    gates[0].open()
    await gates[2].reached()
    gates[1].open()
    gates[2].open()
    assert [await ended(one) for one in done] == [answer(10), answer(20), answer(30)]
    await close(instances)


async def test_predict_has_one_thread_for_each_copy(copies: Copies, play: Play) -> None:
    instances = make(*copies(2), preprocess=3)
    gates = [play.hold("predict", value) for value in (11, 21)]
    held = [submitted(instances[0], 10), submitted(instances[1], 20)]
    for gate in gates:
        await gate.reached()
    third = submitted(instances[2], 30)
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("penstock-m-1") == 2  # so it can only wait for one of them
    assert {call.thread for call in play.of("predict")} == {"penstock-m-1"}
    assert len({call.model for call in play.of("predict")}) == 2
    gates[0].open()
    assert await ended(held[0]) == answer(10)
    assert await ended(third) == answer(30)
    gates[1].open()
    assert await ended(held[1]) == answer(20)
    await close(instances)


async def test_a_batch_stays_with_one_copy_the_one_with_the_fewest(
    copies: Copies, play: Play
) -> None:
    instances = make(*copies(2), preprocess=3, postprocess=1)
    gate = play.hold("preprocess", 10)
    held = submitted(instances[0], 10)
    await gate.reached()
    for value in (20, 30):  # the other copy is free again for the second of these
        assert await ended(submitted(instances[1], value)) == answer(value)
    gate.open()
    assert await ended(held) == answer(10)
    models = [{c.model for c in play.calls if c.values[0] // 10 == tens} for tens in (1, 2, 3)]
    assert [len(found) for found in models] == [1, 1, 1]
    assert models[1] == models[2] != models[0]
    await close(instances)


async def test_each_stage_runs_on_threads_of_its_name(copies: Copies, play: Play) -> None:
    instances = make(*copies(1), preprocess=3, postprocess=2)
    assert threads() == set()
    assert await ended(submitted(instances[0], 1)) == answer(1)
    assert [(call.stage, call.thread) for call in play.calls] == [
        ("preprocess", "penstock-m-1-preprocess"),
        ("predict", "penstock-m-1"),
        ("postprocess", "penstock-m-1-postprocess"),
    ]
    alive = [t for t in threading.enumerate() if t.name in threads()]
    assert len(alive) == 3  # no more than one batch can keep busy
    await close(instances)
    for thread in alive:
        thread.join(LIMIT_S)
    assert threads() == set()


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("how", ["raises", "returns"])
async def test_a_refused_item_is_refused_alone(load: Load, stage: str, how: str) -> None:
    act = {
        "raises": "raise InvalidInput(v.index(2), 'no two')",
        "returns": "return [InvalidInput(i, 'no two') if x == 2 else x for i, x in enumerate(v)]",
    }[how]
    methods = [
        f"""
    def {name}(self, v{": list[int]" if name == "preprocess" else ""}) -> list[int]:
        if {name == stage} and 2 in v:
            {act}
        return v
"""
        for name in STAGES
    ]
    executable = load("class Shy(Model):" + "".join(methods))
    instances = make(executable, preprocess=1, postprocess=1)
    work = Work((batch(1, 2, 3).renamed("v"),), {})
    done = asyncio.get_running_loop().create_future()
    instances[0].submit(work, done.set_result)
    result = await ended(done)
    assert result.outputs == (batch(1, 3).renamed("output"),)
    assert {row: error.reason for row, error in result.invalid.items()} == {1: "no two"}
    await close(instances)


@pytest.mark.parametrize("stage", STAGES)
async def test_what_a_stage_raises_fails_its_batch_only(
    copies: Copies, play: Play, stage: str, caplog: pytest.LogCaptureFixture
) -> None:
    def before(name: str, values: list[int]) -> None:
        if name == stage and values[0] // 10 == 1:
            raise ValueError("odd")

    play.before = before
    instances = make(*copies(1), preprocess=2, postprocess=1)
    done = [
        submitted(instance, value) for instance, value in zip(instances, (10, 20), strict=False)
    ]
    failed, answered = [await ended(one) for one in done]
    assert isinstance(failed, ModelFailed)
    assert failed.message == "model 'm' version 1 failed: ValueError: odd"
    assert answered == answer(20)
    assert [record.getMessage() for record in caplog.records] == ["'m' version 1 raised"]
    assert all(call.values[0] != 10 + i for call in play.calls for i in _after(stage))
    assert await ended(submitted(instances[0], 30)) == answer(30)
    await close(instances)


def _after(stage: str) -> range:
    return range(STAGES.index(stage) + 1, len(STAGES))


async def test_a_refused_row_of_columns_and_a_wrong_count_of_items(load: Load) -> None:
    columns = load("""
        class Shy(Model):
            def preprocess(self, x: Rows["INT64"]):
                if -1 in x:
                    raise InvalidInput(1, "no")
                return x
            async def predict(self, x, parameters) -> Rows["INT64"]:
                await asyncio.sleep(0)
                return x * parameters.get("times", 3)
        """)
    items = load("""
        class Short(Model):
            def preprocess(self, x: list[int]):
                return x[:1]
            def predict(self, x) -> list[int]:
                return x
        """)
    instances = make(columns, preprocess=1)
    refused = await ended(submitted(instances[0], 1, -1))
    assert {row: error.reason for row, error in refused.invalid.items()} == {1: "no"}
    assert (await ended(submitted(instances[0], 1, 2))).outputs[0].array.tolist() == [3, 6]
    await close(instances)
    instances = make(items, preprocess=1)
    wrong = await ended(submitted(instances[0], 1, 2))
    assert isinstance(wrong, MalformedAnswer)
    assert wrong.message == "'m' version 1: preprocess was given 2 items and answered with 1"
    await close(instances)


async def test_calls_of_other_models_keep_the_deadline_in_every_stage(
    copies: Copies, play: Play
) -> None:
    instances = make(*copies(1), clock=FakeClock(), preprocess=1, postprocess=1)
    await ended(submitted(instances[0], 1, deadline_ns=2**62))
    assert [call.caller for call in play.calls] == [Caller(ID, 2**62)] * 3
    await ended(submitted(instances[0], 1))
    assert [call.caller for call in play.calls[3:]] == [Caller(ID, None)] * 3
    assert CALLER.get() is None
    await close(instances)


async def test_a_batch_that_nobody_waits_for_goes_no_further(copies: Copies, play: Play) -> None:
    clock = FakeClock()
    instances = make(*copies(1), clock=clock, preprocess=1)
    begun_ns = clock.monotonic_ns()
    play.before = lambda stage, values: clock.advance(1.0)
    execution = await asyncio.wait_for(
        submitted(instances[0], 1, deadline_ns=begun_ns + 10**9), LIMIT_S
    )
    assert isinstance(execution.result, DeadlineExceeded)
    assert (execution.started_ns, execution.ended_ns) == (begun_ns, begun_ns + 10**9)
    assert [call.stage for call in play.calls] == ["preprocess"]
    never = await asyncio.wait_for(submitted(instances[0], 1, deadline_ns=begun_ns), LIMIT_S)
    assert isinstance(never.result, DeadlineExceeded)
    assert (never.started_ns, never.ended_ns) == (0, 0)  # it has not run
    assert len(play.calls) == 1
    await close(instances)


async def test_the_time_of_an_execution_is_that_of_all_stages(copies: Copies, play: Play) -> None:
    clock = FakeClock()
    begun_ns = clock.monotonic_ns()
    play.before = lambda stage, values: clock.advance(1.0)
    instances = make(*copies(1), clock=clock, preprocess=1, postprocess=1)
    execution = await asyncio.wait_for(submitted(instances[0], 1), LIMIT_S)
    assert (execution.started_ns, execution.ended_ns) == (begun_ns, begun_ns + 3 * 10**9)
    await close(instances)


async def test_there_is_room_for_as_many_batches_as_there_are_threads(load: Load) -> None:
    code = MODEL.replace("class Puppet(Model):", "class Puppet(Model):\n    memory_bytes = 7")
    executables = [load(code, runtime_options={"play": Play()}) for _ in range(2)]
    instances: list[Instance] = [*make(*executables, preprocess=4, postprocess=1)]
    assert len(instances) == 2 + 4 + 1
    known = [declared_bytes(instance) for instance in instances]
    assert known == [7, 7, 0, 0, 0, 0, 0]
    first = instances[0]
    assert (first.can_inline, first.is_ready, first.fault, first.deaths) == (False, True, None, 0)


async def test_all_copies_are_warmed_up_on_the_callers_thread(copies: Copies, play: Play) -> None:
    for instance in make(*copies(2), preprocess=1):
        assert instance.run(Work((batch(1),), {})).result == answer(1)
    assert len({call.model for call in play.calls}) == 2
    assert {call.thread for call in play.calls} == {threading.current_thread().name}


async def test_a_thread_that_could_not_be_started_is_started_by_the_next_batch(
    copies: Copies, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    instances = make(*copies(1), preprocess=1)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError, match="can't start"):
            submitted(instances[0], 1)
    assert await ended(submitted(instances[0], 1)) == answer(1)
    await asyncio.wait_for(close(instances), LIMIT_S)


async def test_closing_waits_for_every_batch_and_closes_each_copy_once(
    copies: Copies, play: Play
) -> None:
    instances = make(*copies(2), preprocess=2, postprocess=1)
    held = {10: "preprocess", 20: "predict", 30: "postprocess"}
    gates = [play.hold(stage, value + STAGES.index(stage)) for value, stage in held.items()]
    done = []
    for instance, value, gate in zip(instances, held, gates, strict=False):
        done.append(submitted(instance, value))
        await gate.reached()
    closing = asyncio.create_task(close(instances))
    for gate in gates:
        await asyncio.sleep(0)
        assert not closing.done()
        assert play.closed == []
        gate.open()
    await asyncio.wait_for(closing, LIMIT_S)
    assert [await ended(one) for one in done] == [answer(value) for value in held]
    assert len(play.closed) == len(set(play.closed)) == 2


async def test_closing_without_ever_having_worked(copies: Copies, play: Play) -> None:
    await close(make(*copies(1), preprocess=1))
    assert len(play.closed) == 1


async def test_a_copy_that_hangs_is_left_behind(
    copies: Copies, play: Play, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(staged_model_module, "_CLOSE_TIMEOUT_S", 0.01)
    instances = make(*copies(2), preprocess=1)
    gate = play.hold("preprocess", 10)
    hanging = submitted(instances[0], 10)
    await gate.reached()
    alive = [thread for thread in threading.enumerate() if thread.name in threads()]
    await asyncio.wait_for(close(instances), LIMIT_S)
    texts = [record.getMessage() for record in caplog.records]
    assert texts == ["'m' version 1 hangs; its threads and memory are left behind"]
    assert len(play.closed) == 1  # the copy that had nothing to do
    gate.open()
    for thread in alive:
        thread.join(LIMIT_S)
    assert not hanging.done()  # nobody waits: it goes no further
    assert [call.stage for call in play.calls] == ["preprocess"]
