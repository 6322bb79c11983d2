"""A prediction store on a store that obeys."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from penstock.stores.memory_backend import MemoryBackend
from penstock.stores.prediction_store import PredictionStore, PredictionStoreOptions
from penstock.testing.fake_clock import FakeClock
from penstock.testing.faulty_backend import FaultyBackend


class Play:
    """A store, what is behind it, and its time."""

    def __init__(self, **options: object) -> None:
        self.clock = FakeClock()
        self.memory = MemoryBackend(clock=self.clock)
        self.backend = FaultyBackend(self.memory)
        self.options = PredictionStoreOptions(**options)  # type: ignore[arg-type]
        self.store = PredictionStore(self.backend, self.options, clock=self.clock)

    async def drained(self) -> int:
        return await self.store.drain(5)


class Computer:
    """Computes, when pulled: the value of a position is ``<name><position>``."""

    def __init__(self, name: str = "v", *, waits: bool = False) -> None:
        self.calls: list[list[int]] = []
        self.called = asyncio.Event()
        self.result: BaseException | Sequence[bytes | Exception | None] | None = None
        self._name = name
        self._go = asyncio.Event()
        if not waits:
            self._go.set()

    async def __call__(self, positions: Sequence[int]) -> Sequence[bytes | Exception | None]:
        self.calls.append(list(positions))
        self.called.set()
        await self._go.wait()
        if isinstance(self.result, BaseException):
            raise self.result
        if self.result is not None:
            return self.result
        return [f"{self._name}{position}".encode() for position in positions]

    def go(self, result: BaseException | Sequence[bytes | Exception | None] | None = None) -> None:
        """Let it end so; None: with its values."""
        self.result = result
        self._go.set()


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
