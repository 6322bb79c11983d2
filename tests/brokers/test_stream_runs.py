"""Streams from end to end: killed runners, a new version on the way, a server's model."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.brokers.conftest import SpecBench, kafka_bench, nats_bench, rabbit_bench
from tests.brokers.stream_runs import MODEL, StreamRuns
from tests.interop.live import AT_ONCE, Live

pytestmark = [pytest.mark.fault, pytest.mark.timeout(120)]


@pytest.fixture
def doors(name: str, request: pytest.FixtureRequest) -> tuple[SpecBench, SpecBench, SpecBench]:
    """Three new streams of one broker."""
    made = {"nats": nats_bench, "rabbitmq": rabbit_bench, "kafka": kafka_bench}[name]
    fixture = {"nats": "nats_server", "rabbitmq": "rabbit_server", "kafka": "kafka_cluster"}[name]
    server = request.getfixturevalue(fixture)
    return made(server), made(server), made(server)  # type: ignore[operator]


@pytest.fixture
def runs(
    tmp_path: Path, doors: tuple[SpecBench, SpecBench, SpecBench], model: object
) -> Iterator[StreamRuns]:
    add_version(tmp_path, 1)
    made = StreamRuns(tmp_path, doors, model)
    yield made
    made.end()


def add_version(folder: Path, number: int) -> None:
    """A version whose answers end with its number, all at once."""
    making = folder / f"making-{number}"
    making.mkdir()
    (making / "model.py").write_text(MODEL.replace("{mark}", f" {number}"))
    (folder / "models" / "shout").mkdir(parents=True, exist_ok=True)
    making.rename(folder / "models" / "shout" / str(number))


@pytest.mark.parametrize("model", [{"path": "models"}])
@pytest.mark.parametrize("name", ["nats", "rabbitmq", "kafka"])
async def test_a_runner_killed_in_mid_stream_loses_nothing(name: str, runs: StreamRuns) -> None:
    texts = [f"text {n}" for n in range(1200)]
    wanted = {f"{text.upper()} 1" for text in texts}
    await runs.begin()
    await runs.send(texts)
    runner = runs.run()
    before = await runs.take({"TEXT 200 1"})
    runner.kill()
    runner.wait(10)
    runs.run()
    seen = {answer.text for answer in before}
    after = await runs.take(wanted - seen)
    came = [*before, *after]
    assert 0 < len(seen) < len(wanted)
    assert {answer.text for answer in came} == wanted
    assert len({answer.id for answer in came}) == len(wanted)  # what comes twice has one id
    if name == "nats":
        assert len(came) == len(wanted)
    assert await runs.dead() == []
    assert runs.end() == [0]
    assert "Traceback" not in runs.log()


@pytest.mark.parametrize("model", [{"path": "models"}])
@pytest.mark.parametrize("name", ["nats", "rabbitmq", "kafka"])
async def test_a_new_version_takes_over_between_two_micro_batches(
    name: str, runs: StreamRuns, tmp_path: Path
) -> None:
    await runs.begin()
    runs.run()
    sent: list[str] = []
    stopping = asyncio.Event()

    async def produce() -> None:
        for number in itertools.count():
            if stopping.is_set():
                return
            texts = [f"{number}-{n}" for n in range(50)]
            await runs.send(texts)
            sent.extend(texts)
            await asyncio.sleep(0.05)

    producing = asyncio.create_task(produce())
    came = await runs.take({"3-0 1"})
    add_version(tmp_path, 2)
    while came[-1].version == 1:
        came += await runs.take({f"{came[-1].text.partition('-')[0]}"})
    stopping.set()
    await producing


@pytest.mark.parametrize("name", ["nats"])
async def test_a_model_of_a_server(
    name: str, doors: tuple[SpecBench, SpecBench, SpecBench], tmp_path: Path
) -> None:
    add_version(tmp_path, 1)
    with Live([tmp_path / "models"], *AT_ONCE, folder=tmp_path) as server:
        model = {"url": f"grpc://{server.grpc_address}", "name": "shout"}
        runs = StreamRuns(tmp_path, doors, model)
