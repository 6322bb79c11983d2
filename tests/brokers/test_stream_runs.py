"""Streams from end to end: killed runners, a new version on the way, a server's model."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.brokers.conftest import SpecBench, kafka_bench, nats_bench, rabbit_bench
from tests.brokers.stream_runs import MODEL, StreamRuns
from tests.interop.live import Live, clean_environ

Make = Callable[[object], StreamRuns]
BROKERS = ("nats", "rabbitmq", "kafka")

pytestmark = [pytest.mark.fault, pytest.mark.timeout(120)]


@pytest.fixture
def doors(name: str, request: pytest.FixtureRequest) -> tuple[SpecBench, SpecBench, SpecBench]:
    """Three new streams of one broker."""

    def made() -> SpecBench:
        if name == "nats":
            return nats_bench(request.getfixturevalue("nats_server"))
        if name == "rabbitmq":
            return rabbit_bench(request.getfixturevalue("rabbit_server"))
        return kafka_bench(request.getfixturevalue("kafka_cluster"))

    return made(), made(), made()


@pytest.fixture
def make_runs(tmp_path: Path, doors: tuple[SpecBench, SpecBench, SpecBench]) -> Iterator[Make]:
    """Makes the one stream of a test, given its model."""
    made: list[StreamRuns] = []

    def make(model: object) -> StreamRuns:
        made.append(StreamRuns(tmp_path, doors, model))
        return made[-1]

    add_version(tmp_path, 1)
    yield make
    for one in made:
        one.end()


def add_version(folder: Path, number: int) -> None:
    """A version whose answers end with its number, there all at once."""
    making = folder / f"making-{number}"
    making.mkdir()
    (making / "model.py").write_text(MODEL.replace("MARK", str(number)))
    (folder / "models" / "shout").mkdir(parents=True, exist_ok=True)
    making.rename(folder / "models" / "shout" / str(number))


def start_anew(server: Live, folder: Path) -> None:
    """Kill a server and start it again, on the same ports."""
    server.process.kill()
    server.wait()
    again = [str(word) for word in server.process.args]  # type: ignore[union-attr]
    server.process = subprocess.Popen(again, cwd=folder, env=clean_environ())


@pytest.mark.parametrize("name", BROKERS)
async def test_a_runner_killed_in_mid_stream_loses_nothing(name: str, make_runs: Make) -> None:
    runs = make_runs({"path": "models"})
    texts = {f"text-{n}" for n in range(1000)}
    await runs.begin()
    await runs.send(sorted(texts))
    runner = runs.run()
    async with runs.listening():
        await runs.until(lambda came: len(came) >= 200)
        runner.kill()
        runner.wait(10)
        assert len(runs.answers) < len(texts)
        runs.run()
        await runs.until_all(texts)
        assert runs.end() == [0]
    ids = {answer.id for answer in runs.answers}
    assert {answer.record for answer in runs.answers} == texts
    assert len(ids) == len(texts)  # what stands there twice has one id
    if name == "nats":
        assert len(runs.answers) == len(texts)
    assert runs.letters == []
    assert "Traceback" not in runs.log()


@pytest.mark.parametrize("name", ["nats", "rabbitmq"])
async def test_a_new_version_takes_over_and_each_record_has_one_answer(
    name: str, make_runs: Make, tmp_path: Path
) -> None:
    runs = make_runs({"path": "models"})
    await runs.begin()
    runs.run()
    sent: list[str] = []
    stopping = asyncio.Event()

    async def produce() -> None:
        while not stopping.is_set():
            number = len(sent)
            texts = [f"{number}-{n}" for n in range(20)]
            await runs.send(texts)
            sent.extend(texts)
            await runs.until(lambda came: len(sent) - len(came) < 100)

    async with runs.listening():
        producing = asyncio.create_task(produce())
        await runs.until(lambda came: len(came) > 100)
        add_version(tmp_path, 2)
        await runs.until(lambda came: came[-1].version == 2)
        stopping.set()
        await producing
        await runs.until_all(set(sent))
        assert runs.end() == [0]
    records = [answer.record for answer in runs.answers]
    versions = [answer.version for answer in runs.answers]
    assert sorted(records) == sorted(sent)
    assert versions == sorted(versions)
    assert [answer.mark for answer in runs.answers] == [str(version) for version in versions]
    assert runs.letters == []


@pytest.mark.parametrize("name", ["nats"])
async def test_a_model_of_a_server_that_restarts(
    name: str, make_runs: Make, tmp_path: Path
) -> None:
    texts = {f"text-{n}" for n in range(1000)}
    with Live([tmp_path / "models"], folder=tmp_path) as server:
        runs = make_runs({"url": f"grpc://{server.grpc_address}", "name": "shout"})
        await runs.begin()
        await runs.send(sorted(texts))
        runs.run()
        async with runs.listening():
            await runs.until(lambda came: len(came) >= 200)
            start_anew(server, tmp_path)
            await runs.until_all(texts)
            assert runs.end() == [0]
    assert len(runs.answers) == len(texts)
    assert {(answer.version, answer.mark) for answer in runs.answers} == {(1, "1")}
    assert runs.letters == []
