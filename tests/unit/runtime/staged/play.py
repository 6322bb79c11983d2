"""A model whose stages do what the test says, held where the test holds them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from penstock.core.clock import Clock, SystemClock
from penstock.core.dtype import DType
from penstock.core.ids import ServableId
from penstock.core.tensor import Tensor
from penstock.runtime.caller import CALLER, Caller
from penstock.runtime.executable import ExecuteResult
from penstock.runtime.instance import Execution, Work
from penstock.runtime.python_runtime import PythonExecutable
from penstock.runtime.staged.staged_instance import StagedInstance, staged_instances

ID = ServableId("m", 1)
LIMIT_S = 10
STAGES = ("preprocess", "predict", "postprocess")
MODEL = """
class Puppet(Model):
    def load(self, context):
        self.play = context.options["play"]

    def preprocess(self, x: list[int]):
        return self.play(self, "preprocess", x)

    def predict(self, x):
        return self.play(self, "predict", x)

    def postprocess(self, x) -> list[int]:
        return self.play(self, "postprocess", x)

    def close(self):
        self.play.closed.append(self)
"""
"""Adds one in every stage."""


class Gate:
    """Where a batch is held."""

    def __init__(self) -> None:
        self._entered = threading.Event()
        self._is_open = threading.Event()

    def open(self) -> None:
        """Let it go."""
        self._is_open.set()

    def pass_through(self) -> None:
        """The batch's part."""
        self._entered.set()
        assert self._is_open.wait(LIMIT_S), "nobody opened the gate"

    async def reached(self) -> None:
        """A batch stands before it."""
        assert await asyncio.to_thread(self._entered.wait, LIMIT_S), "nobody came to the gate"


class Call(NamedTuple):
    """One call of a stage, as it was seen from inside."""

    stage: str
    values: list[int]
    model: object
    thread: str
    caller: Caller | None


class Play:
    """What the stages of a ``MODEL`` do.

    Attributes:
        calls: every call, in the order they began.
        closed: the models that were closed.
        before: run before a stage does anything else, with its name and values.
    """

    def __init__(self, before: Callable[[str, list[int]], object] = lambda stage, x: None) -> None:
        self.calls: list[Call] = []
        self.closed: list[object] = []
        self.before = before
        self._gates: dict[tuple[str, int], Gate] = {}

    def hold(self, stage: str, first_value: int) -> Gate:
        """Hold the batch that comes to a stage with this value first."""
        return self._gates.setdefault((stage, first_value), Gate())

    def of(self, stage: str) -> list[Call]:
        """The calls of one stage."""
        return [call for call in self.calls if call.stage == stage]

    def __call__(self, model: object, stage: str, values: list[int]) -> list[int]:
        thread = threading.current_thread().name
        self.calls.append(Call(stage, list(values), model, thread, CALLER.get()))
        gate = self._gates.get((stage, values[0]))
        if gate is not None:
            gate.pass_through()
        self.before(stage, values)
        return [value + 1 for value in values]


def batch(*values: int) -> Tensor:
    """The input."""
    return Tensor("x", DType.INT64, np.array(values, np.int64))


def answer(*values: int) -> ExecuteResult:
    """What it answers to an input."""
    return ExecuteResult((Tensor("output", DType.INT64, np.array(values, np.int64) + 3),))


def make(
    *executables: PythonExecutable, clock: Clock | None = None, **counts: int
) -> list[StagedInstance]:
    """The instances of some copies, with so many threads for each stage that is named."""
    loop = asyncio.get_running_loop()
    return staged_instances(ID, executables, counts, loop, clock or SystemClock())


def submitted(
    instance: StagedInstance, *values: int, deadline_ns: int | None = None
) -> asyncio.Future[Execution]:
    """What becomes of a batch."""
    done: asyncio.Future[Execution] = asyncio.get_running_loop().create_future()
    instance.submit(Work((batch(*values),), {}, deadline_ns), done.set_result)
    return done


async def ended(done: asyncio.Future[Execution]) -> Any:
    """Its result, once it is there."""
    return (await asyncio.wait_for(done, LIMIT_S)).result


async def close(instances: Sequence[StagedInstance]) -> None:
    """As the scheduler does it."""
    await asyncio.gather(*(instance.close() for instance in instances))
