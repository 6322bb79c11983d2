"""WorkerHost: it ends what it knows of, and starts nothing after that."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from penstock.core.errors import LoadFailed
from penstock.core.ids import ServableId
from penstock.runtime.process.shared_memory import SharedMemoryBudget
from penstock.runtime.process.worker_host import WorkerHost

ID = ServableId("m", 1)


class FakeSupply:
    """Is closed, or is not."""

    is_closed = False

    def close(self) -> None:
        self.is_closed = True


class FakeInstance:
    """Remembers why it was ended."""

    def __init__(self, error: Exception | None = None) -> None:
        self.why = ""
        self._error = error

    async def end(self, why: str) -> None:
        self.why = why
        if self._error is not None:
            raise self._error


@pytest.fixture
def host() -> WorkerHost:
    unused: Any = None
    supply: Any = FakeSupply()
    return WorkerHost(unused, SharedMemoryBudget(0), supply)


async def test_it_ends_those_that_nobody_closed(
    host: WorkerHost, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("penstock"), "propagate", True)
    closed, stuck, left = FakeInstance(), FakeInstance(RuntimeError("stuck")), FakeInstance()
    for instance in (closed, stuck, left):
        host.add(ID, instance)
    host.remove(closed)
    await host.close()
    assert [one.why != "" for one in (closed, stuck, left)] == [False, True, True]
    assert "a worker could not be ended" in caplog.text


async def test_after_its_end_no_worker_is_started(host: WorkerHost) -> None:
    await host.close()
    with pytest.raises(LoadFailed, match="'m' version 1: the server is shutting down"):
        host.add(ID, FakeInstance())
