"""A loop whose time jumps to the next timer, and the pieces of a scheduler's test."""

import asyncio
import gc
import selectors
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import numpy as np

from penstock.core.deadline import Deadline
from penstock.core.dtype import DType
from penstock.core.ids import ServableId
from penstock.core.messages import InferRequest, InferResponse
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Tensor
from penstock.repository.manifest import Manifest
from penstock.runtime.instance import Instance
from penstock.scheduler.model_info import ModelInfo
from penstock.scheduler.scheduler import Scheduler
from penstock.testing.puppet_instance import PuppetInstance

T = TypeVar("T")

X = TensorSpec("x", DType.FP32, (-1, 2))
PAIRS = ModelSignature((X,), (X,))
MODEL = ServableId("m", 3)


class _Jump(selectors.SelectSelector):
    """Waits for nobody: it moves the loop's time instead."""

    now_s = 100.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise AssertionError("everybody waits, and no timer is set")
        self.now_s += timeout + 1e-7 if timeout > 0 else 0
        return super().select(0)


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop, and a Clock of the same time."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now_s

    def monotonic_ns(self) -> int:
        return int(self._jump.now_s * 1e9)

    def wall_ns(self) -> int:
        return self.monotonic_ns() + 1_700_000_000_000_000_000


def play(scene: Coroutine[Any, Any, T]) -> T:
    """Run a scene to its end; no exception may be left unread, no task unfinished."""
    complaints: list[dict[str, Any]] = []
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: complaints.append(context))
        result = runner.run(scene)
        gc.collect(0)
    assert complaints == []
    return result


def clock() -> JumpingLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, JumpingLoop)
    return loop


def deadline(timeout_s: float) -> Deadline:
    return Deadline.after(timeout_s, clock().monotonic_ns())


def puppet(**options: Any) -> PuppetInstance:
    return PuppetInstance(**options, clock=clock())


def schedule(
    *instances: Instance,
    signature: ModelSignature = PAIRS,
    warm_up_ns: int = 10_000_000,
    **manifest: Any,
) -> Scheduler:
    info = ModelInfo(
        MODEL, "onnx", "onnxruntime_onnx", signature, Manifest(**manifest), warm_up_ns=warm_up_ns
    )
    return Scheduler(info, instances, loop=asyncio.get_running_loop(), clock=clock())


def pairs(*values: float, name: str = "x") -> Tensor:
    """Rows of two numbers: ``[v, -v]`` for each value."""
    array = np.array([[v, -v] for v in values], dtype=np.float32).reshape(-1, 2)
    return Tensor(name, DType.FP32, array)


def ask(*values: float, **fields: Any) -> InferRequest:
    return InferRequest("m", (pairs(*values),), **fields)


def sent(scheduler: Scheduler, request: InferRequest) -> asyncio.Task[InferResponse]:
    return asyncio.create_task(scheduler.infer(request))


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


def values(response: InferResponse) -> Sequence[float]:
    """What ``pairs`` was called with."""
    first: Sequence[float] = response.outputs[0].array[:, 0].tolist()
    return first
