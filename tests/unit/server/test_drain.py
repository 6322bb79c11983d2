"""The order in which a server stops."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest

from penstock.server import drain as drain_module
from penstock.server.drain import drain


class FakeService:
    """Writes down what happens; it is its own manager."""

    def __init__(self, happened: list[str]) -> None:
        self.in_flight = 1
        self.recorders: list[object] = []
        self.quiet = asyncio.Event()
        self.manager = self
        self.closing_s = -1.0
        self.error: Exception | None = None
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
        if timeout_s == 0:
            self.quiet.set()  # requests that are given up have their answer
        if self.error is not None:
            raise self.error


class FakeRecorder:
    """Writes down that it was flushed, once its gate is open."""

    def __init__(self, happened: list[str], gate: threading.Event | None = None) -> None:
        self._happened = happened
        self._gate = gate

    def flush(self) -> None:
        if self._gate is not None:
            self._gate.wait(10)
        self._happened.append("flushed")


@pytest.fixture
def happened() -> list[str]:
    return []


@pytest.fixture(autouse=True)
def _heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is logged reaches ``caplog``, whoever configured logging before."""
    monkeypatch.setattr(logging.getLogger("penstock"), "propagate", True)


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
        "door told 31",
        "door told 31",
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
    assert happened == ["not ready", "instances stopped", "quiet"]
    assert service.closing_s == 0
    assert "1 requests are given up" in caplog.text


async def test_a_door_writes_the_last_answers_before_it_is_closed(happened: list[str]) -> None:
    service: Any = FakeService(happened)

    async def stop(timeout_s: float) -> None:
        await service.quiet.wait()
        happened.append("last answer written")

    await drain(service, stop_accepting=[stop], timeout_s=0.01)
    assert happened == ["not ready", "instances stopped", "last answer written", "quiet"]


@pytest.mark.parametrize("broken", ["door", "manager"])
async def test_what_raises_keeps_no_later_step_from_its_turn(
    happened: list[str], caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    service: Any = FakeService(happened)
    service.quiet.set()
    service.recorders = [FakeRecorder(happened), FakeRecorder(happened)]
    if broken == "manager":
        service.error = RuntimeError("no")

    async def stop(timeout_s: float) -> None:
        if broken == "door":
            raise RuntimeError("no")

    await drain(service, stop_accepting=[stop], timeout_s=30)
    assert happened == ["not ready", "quiet", "instances stopped", "flushed", "flushed"]
    assert "a part of the server could not be stopped" in caplog.text


async def test_a_flush_that_hangs_is_left_behind(
    happened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain_module, "_FLUSH_S", 0.01)
    service: Any = FakeService(happened)
    service.quiet.set()
    gate = threading.Event()
    service.recorders = [FakeRecorder(happened, gate)]
    await drain(service, stop_accepting=[], timeout_s=30)
    assert happened == ["not ready", "quiet", "instances stopped"]
    gate.set()


async def test_a_door_that_hangs_holds_up_nothing_beyond_the_deadline(
    happened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain_module, "_LAST_WORDS_S", 0.01)
    service: Any = FakeService(happened)

    async def stop(timeout_s: float) -> None:
        await asyncio.Event().wait()

    await drain(service, stop_accepting=[stop], timeout_s=0.01)
    assert happened == ["not ready", "instances stopped"]


@pytest.mark.parametrize(
    ("in_flight", "is_silent", "is_told"),
    [(0, False, True), (0, True, False), (1, True, True)],
)
async def test_a_start_that_failed_is_drained_without_a_word(
    happened: list[str],
    caplog: pytest.LogCaptureFixture,
    *,
    in_flight: int,
    is_silent: bool,
    is_told: bool,
) -> None:
    caplog.set_level("INFO", "penstock.server")
    service: Any = FakeService(happened)
    service.in_flight = in_flight
    service.quiet.set()
    await drain(service, stop_accepting=[], timeout_s=1, is_silent=is_silent)
    assert ("draining" in caplog.text) == is_told
    assert "instances stopped" in happened
