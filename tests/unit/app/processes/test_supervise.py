"""What a supervisor tells its serving processes."""

import socket

import pytest

from penstock.app.processes import supervise as module
from penstock.app.processes.handover import Handover, settings_in
from penstock.app.settings import GrpcSettings, HttpSettings, Settings


async def test_they_are_told_how_many_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Handover] = []

    class Puppet:
        def __init__(self, common: Handover, *_: object) -> None:
            told.append(common)

        async def run(self, listening: socket.socket) -> None:
            assert listening.fileno() >= 0

    monkeypatch.setattr(module, "Supervisor", Puppet)
    settings = Settings(
        processes="auto", http=HttpSettings(port=0), grpc=GrpcSettings(enabled=False)
    )
    await module.supervise((), settings, 3)
    (common,) = told
    assert settings_in(common.settings).processes == 3
