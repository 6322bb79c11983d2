"""Versions to lend, and short ways to offer what they answered, for the tests of shadows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from penstock.core.dtype import DType
from penstock.core.errors import NotReady
from penstock.core.ids import ServableId, VersionChoice
from penstock.core.messages import InferRequest, InferResponse
from penstock.core.servable import Servable
from penstock.core.tensor import Tensor
from penstock.lifecycle.handle import Leases, ServableHandle
from penstock.router.route import Route, Shadow, Variant
from penstock.router.shadow import ShadowTee
from penstock.router.shadow_book import ShadowBook
from penstock.router.shadow_pace import Pace
from penstock.router.shadow_worker import ShadowWorker, Surroundings
from penstock.testing.fake_loader import FakeServable
from tests.unit.scheduler.playing import clock

SHADOW = 2


class Lending:
    """Lends what the test gave it, and keeps a book of it."""

    def __init__(self, versions: Mapping[int, Servable]) -> None:
        self.versions = dict(versions)
        self.leases = Leases()
        self.num_lent = 0

    def handle(self, name: str, choice: VersionChoice) -> ServableHandle:
        servable = self.versions.get(choice.version if choice.version is not None else -1)
        if servable is None:
            raise NotReady(f"'{name}' version {choice.version} is not at ready state")
        self.num_lent += 1
        return ServableHandle(ServableId(name, choice.version or 0), servable, self.leases)


class Computing(FakeServable):
    """Answers at once, on the event loop, with what a function makes of each input."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__(version=SHADOW)
        self.requests: list[InferRequest] = []
        self._function = function

    async def infer(self, request: InferRequest) -> InferResponse:
        self.requests.append(request)
        outputs = tuple(
            Tensor.from_array(one.name, self._function(one.array)) for one in request.inputs
        )
        return InferResponse(request.model, self.version, outputs, id=request.id)


class Failing(FakeServable):
    """Raises what it is given."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(version=SHADOW)
        self._error = error

    async def infer(self, request: InferRequest) -> InferResponse:
        raise self._error


def same(values: Any) -> Any:
    return values


def route(stage: str = "s", **shadow: Any) -> Route:
    """Version 1 answers; version 2 is the shadow."""
    return Route(
        variants=(Variant(name="stable", version=1, weight=100),),
        shadow=Shadow(**{"version": SHADOW, **shadow}),
        stage=stage,
    )


class Every:
    """Permits each function."""

    def __contains__(self, name: object) -> bool:
        return True


def request(*values: float, **fields: Any) -> InferRequest:
    array = np.array([[one, -one] for one in values or (1.0,)], np.float32)
    return InferRequest("m", (Tensor("x", DType.FP32, array),), **fields)


def response(asked: InferRequest) -> InferResponse:
    """What version 1 answers: the inputs."""
    return InferResponse(asked.model, 1, asked.inputs, id=asked.id)


def tee(lending: Lending, in_flight: Callable[[], int] = lambda: 0, **more: Any) -> ShadowTee:
    return ShadowTee(lending, in_flight, clock=clock(), own=Every(), **more)


def worker(
    lending: Lending,
    in_flight: Callable[[], int] = lambda: 0,
    pace: Pace | None = None,
    **shadow: Any,
) -> ShadowWorker:
    now = clock()
    pace = pace or Pace(now.monotonic_ns())
    around = Surroundings(lending, in_flight, pace, now, now, lambda: 0.0, Every())
    return ShadowWorker("m", Shadow(**{"version": SHADOW, **shadow}), ShadowBook(), around)


def offer(to: ShadowWorker, *values: float, **fields: Any) -> InferRequest:
    asked = request(*values, **fields)
    to.offer(asked, response(asked))
    return asked
