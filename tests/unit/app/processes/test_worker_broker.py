"""The companion that starts the workers of all serving processes."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.app.processes.companion import make_companions
from penstock.app.processes.worker_broker import WorkerBroker
from penstock.app.settings import Settings
from penstock.app.shared_workers import WORKERS
from penstock.core.errors import LoadFailed
from penstock.core.ids import ServableId
from penstock.repository.artifact import ArtifactRef
from penstock.repository.manifest import Instances, Manifest
from penstock.runtime.broker.connection import BrokerConnection
from penstock.runtime.broker.shared_source import SharedSupply
from penstock.runtime.process.process_instance import ProcessInstance
from penstock.runtime.process.shared_memory import SharedMemoryBudget
from penstock.runtime.process.worker_host import WorkerHost
from tests.unit.app.processes.nobody import Nobody


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp())
    yield made
    shutil.rmtree(made)


def test_a_server_of_several_processes_has_it() -> None:
    names = [companion.name for companion in make_companions(Settings())]
    assert WORKERS in names


async def test_nobody_came(folder: Path) -> None:
    companion = WorkerBroker(Settings().workers)
    path = await companion.start(folder)
    assert path == str(folder / "workers.sock")
    await companion.close()
    with pytest.raises(LoadFailed, match="Connection refused"):
        await BrokerConnection.open(path)


async def test_who_comes_is_answered_and_loses_its_seat_with_the_companion(folder: Path) -> None:
    companion = WorkerBroker(Settings().workers)
    supply = SharedSupply(await companion.start(folder))
    host = WorkerHost(Nobody(), SharedMemoryBudget(0), supply)
    artifact = ArtifactRef(
        id=ServableId("m", 1),
        path=folder / "model.py",
        root=folder,
        runtime="python",
        class_name=None,
        manifest=Manifest(instances=Instances(kind="process", python="nowhere")),
        num_bytes=1,
        revision="r",
    )
    with pytest.raises(LoadFailed, match=r"no virtual environment .*'nowhere'"):
        await ProcessInstance(artifact, 0, host).start()
    await companion.close()
    with pytest.raises(LoadFailed, match="has gone"):
        await ProcessInstance(artifact, 0, host).start()
    await host.close()
