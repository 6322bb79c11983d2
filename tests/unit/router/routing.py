"""A model of several versions behind a router, without sockets and schedulers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np

from penstock.core.dtype import DType
from penstock.core.ids import LATEST, VersionChoice
from penstock.core.messages import InferRequest, InferResponse
from penstock.core.signature import ModelSignature, TensorSpec
from penstock.core.tensor import Tensor
from penstock.router.route import Route, RoutingKey, Variant
from penstock.router.route_table import RouteTable
from penstock.router.router import Router
from penstock.telemetry.route_stats import RouteStats
from penstock.testing.fake_loader import FakeLoader
from tests.unit.lifecycle.building import World, model

SCORES = ModelSignature(
    inputs=(TensorSpec("x", DType.FP32, (-1,)),),
    outputs=(TensorSpec("score", DType.FP32, (-1,)),),
)


class Version:
    """Answers 0.25 for each row, as version ``number``; or fails as it is told.

    Attributes:
        error: what it raises instead; None: nothing.
        outputs: what it answers instead; None: nothing.
        gate: what it waits for before it answers; None: nothing.
        num_asked: how often it was asked.
    """

    signature = SCORES

    def __init__(self, number: int) -> None:
        self.number = number
        self.error: BaseException | None = None
        self.outputs: tuple[Tensor, ...] | None = None
        self.gate: asyncio.Event | None = None
        self.score = 0.25
        self.num_asked = 0

    async def infer(self, request: InferRequest) -> InferResponse:
        """Answer, or fail."""
        self.num_asked += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        scores = np.full(len(request.inputs[0].array), self.score, np.float32)
        outputs = self.outputs or (Tensor("score", DType.FP32, scores),)
        return InferResponse(request.model, self.number, outputs, request.id, {"own": 1})


class Town:
    """Model ``m`` with versions that can be there or not, a table and a router."""

    def __init__(self) -> None:
        self.world = World()
        self.stats = RouteStats()
        self.draws: list[float] = []
        self.table = RouteTable(self.stats, lambda: self.draws.pop(0) if self.draws else 0.5)
        self.router = Router(self.world.manager, None, self.table, self.world.clock)
        self.versions: dict[int, Version] = {}

    async def serve(self, *numbers: int, labels: Mapping[str, int] | None = None) -> None:
        """From now on these versions of the model are loaded, and no others."""
        for number in numbers:
            self.versions.setdefault(number, Version(number))
        loaders = {number: FakeLoader(self.versions[number]) for number in numbers}
        await self.world.serve(model("m", loaders, "-".join(map(str, numbers)), labels))

    async def ask(self, choice: VersionChoice = LATEST, **fields: Any) -> InferResponse:
        """One request of a row."""
        return await self.router.infer(ask(choice, **fields))

    async def asked(self, count: int, **fields: Any) -> list[int]:
        """The versions that answer so many requests, each with a key of its own."""
        header = {b"x-user": b""}
        return [
            (await self.ask(headers={**header, b"x-user": b"%d" % n}, **fields)).version
            for n in range(count)
        ]


def ask(choice: VersionChoice = LATEST, rows: int = 1, **fields: Any) -> InferRequest:
    """A request for model ``m``."""
    x = Tensor("x", DType.FP32, np.zeros(rows, np.float32))
    return InferRequest("m", (x,), choice, **fields)


def route(weight: float = 50.0, **fields: Any) -> Route:
    """Version 1 is stable, version 2 gets so many percent, by the header x-user."""
    fields.setdefault("key", RoutingKey(header="x-user"))
    return Route(
        variants=(
            Variant(name="stable", version=1, weight=100.0 - weight),
            Variant(name="canary", version=2, weight=weight),
        ),
        **fields,
    )
