"""The order in which a server stops."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from penstock.server.drain import drain


class FakeService:
    """Writes down what happens; it is its own manager."""

    def __init__(self, happened: list[str]) -> None:
        self.in_flight = 1
        self.recorders: list[object] = []
        self.quiet = asyncio.Event()
        self.manager = self
        self.closing_s = -1.0
        self._happened = happened

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "is_draining":
            self._happened.append("not ready")
        super().__setattr__(name, value)

    async def wait_quiet(self) -> None:
        await self.quiet.wait()
        self._happened.append("quiet")

    async def aclose(self, timeout_s: float) -> None:
        self.closing_s = timeout_s
        self._happened.append("instances stopped")


@pytest.fixture
def happened() -> list[str]:
    return []


async def test_not_ready_then_doors_then_requests_then_instances(happened: list[str]) -> None:
    service: Any = FakeService(happened)

    async def stop(timeout_s: float) -> None:
        happened.append(f"door told {timeout_s:g}")
        await asyncio.sleep(0)
        happened.append("door closed")
        service.quiet.set()

    await drain(service, stop_accepting=[stop, stop], timeout_s=30)
    assert happened == [
        "not ready",
        "door told 30",
        "door told 30",
        "door closed",
        "door closed",
        "quiet",
        "instances stopped",
    ]
    assert 29 < service.closing_s <= 30


async def test_requests_that_hang_are_given_up_at_the_deadline(
    happened: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    service: Any = FakeService(happened)
    await drain(service, stop_accepting=[], timeout_s=0.01)
    assert happened == ["not ready", "instances stopped"]
    assert service.closing_s == 0
    assert "1 requests are given up" in caplog.text


async def test_a_door_that_hangs_holds_up_nothing_beyond_the_deadline(
    happened: list[str],
) -> None:
    service: Any = FakeService(happened)

    async def stop(timeout_s: float) -> None:
        await asyncio.Event().wait()

    await drain(service, stop_accepting=[stop], timeout_s=0.01)
    assert happened == ["not ready", "instances stopped"]
