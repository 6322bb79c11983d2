"""What makes a process one of several."""

from __future__ import annotations

import asyncio
from unittest.mock import Mock

import pytest

from penstock.app.processes import member
from penstock.app.processes.member import Member, Place, new_process
from penstock.app.settings import Settings
from penstock.testing.fake_control_store import FakeControlStore


class SlowStore(FakeControlStore):
    """Its file is locked by somebody else."""

    async def leave(self, process_id: str) -> None:
        await asyncio.Event().wait()


async def test_leaving_does_not_wait_for_a_store_that_hangs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(member, "_LEAVE_S", 0.05)
    one = Member(Settings(), Place(new_process(0)), SlowStore(), None)
    await one.begin(Mock(), asyncio.Event())
    async with asyncio.timeout(5):
        await one.leave()
        await one.leave()
    assert "takes too long" in caplog.text
