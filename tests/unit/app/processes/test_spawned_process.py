"""A serving process, seen from the supervisor: what it says, and that it still answers."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from penstock.app.processes import spawned_process
from penstock.app.processes.handover import Handover
from penstock.app.processes.spawned_process import SpawnedProcess
from penstock.core.errors import ConfigError

Spawn = Callable[[str], SpawnedProcess]


@pytest.fixture
def spawn(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(spawned_process, "_MODULE", "tests.unit.app.processes.odd_child")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[4]))
    monkeypatch.setattr(spawned_process, "_ASK_EVERY_S", 0.05)
    with socket.socket() as listening:

        def make(manner: str) -> SpawnedProcess:
            told = Handover((manner,), {}, "", "", listening.fileno(), 0, number=1)
            return SpawnedProcess(told, Mock(), lambda _: None)

        yield make


async def test_one_that_is_up_and_silent_is_killed(
    spawn: Spawn, caplog: pytest.LogCaptureFixture
) -> None:
    process = spawn("mute")
    assert await process.run() == "was killed by SIGKILL"
    assert not process.has_ended_well
    assert "has not answered for" in caplog.text


async def test_one_that_answers_is_left_alone(spawn: Spawn) -> None:
    process = spawn("answers")
    assert await process.run() == "exited with status 0"
    assert process.has_ended_well


async def test_what_cannot_be_read_does_not_hide_the_error(spawn: Spawn) -> None:
    process = spawn("babbles")
    assert await process.run() == "cannot start: the real error"
    assert isinstance(process.error, ConfigError)
