"""The host of all worker processes, as the settings have it."""

from typing import Any, cast

import pytest

from penstock.app.settings import WorkerSettings
from penstock.app.shared_workers import SharedWorkers


@pytest.mark.parametrize(("broker", "num_sharing"), [("", 1), ("workers.sock", 3)])
async def test_workers_are_shared_by_all_processes_where_a_broker_starts_them(
    broker: str, num_sharing: int
) -> None:
    settings = WorkerSettings()
    workers = SharedWorkers(settings, cast(Any, None), broker, num_processes=3)
    assert workers.host().num_sharing == num_sharing
    await workers.close()
