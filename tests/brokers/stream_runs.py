"""`penstock stream run` from one stream of a broker to another: files, processes, what came."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from penstock.jobs.stream.record import Produced, Record
from tests.brokers.bench import PATIENCE_S, opened
from tests.brokers.conftest import SpecBench
from tests.interop.live import PENSTOCK, clean_environ

MODEL = """
import time
from penstock import Model

class Shout(Model):
    def predict(self, text: list[str]) -> list[str]:
        time.sleep(0.001 * len(text))
        return [one.upper() + " MARK" for one in text]
"""


class Answer(msgspec.Struct, frozen=True):
    """What came of one record.

    Attributes:
        record: its text.
        mark: the one of the model's version, in the answer itself.
        id: of the prediction.
        version: of the model, in the header.
    """

    record: str
    mark: str
    id: str
    version: int


class StreamRuns:
    """A STREAM.yaml between new streams of one broker, and runners of it.

    Args:
        folder: for its files.
        doors: where records come from, where answers go, where dead letters go.
        model: the field of STREAM.yaml.

    Attributes:
        answers: what has come.
        letters: the values of the dead letters that have come.
    """

    def __init__(
        self, folder: Path, doors: tuple[SpecBench, SpecBench, SpecBench], model: Any
    ) -> None:
        self._folder = folder
        self._source, self._sink, self._dead = doors
        self._runners: list[subprocess.Popen[bytes]] = []
        self.answers: list[Answer] = []
        self.letters: list[bytes] = []
        spec = {
            "name": "shouts",
            "source": msgspec.to_builtins(self._source.spec_in),
            "model": model,
            "sink": msgspec.to_builtins(self._sink.spec_out),
            "dead_letters": msgspec.to_builtins(self._dead.spec_out),
            "micro_batch": {"max_records": 20},
            "in_flight": 3,
        }
        (folder / "stream.yaml").write_text(json.dumps(spec))
        (folder / "penstock.yaml").write_text("watch: {settle_s: 0}\n")

    async def begin(self) -> None:
        """Have all streams there."""
        for bench in (self._source, self._sink, self._dead):
            sink = bench.sink()
            await sink.open()
            await sink.close()

    def run(self) -> subprocess.Popen[bytes]:
        """Start a runner."""
        with (self._folder / "log").open("ab") as log:
            runner = subprocess.Popen(
                [PENSTOCK, "stream", "run", "stream.yaml"],
                cwd=self._folder,
                env=clean_environ(),
                stdout=log,
                stderr=log,
            )
        self._runners.append(runner)
        return runner

    async def send(self, texts: Sequence[str]) -> None:
        """Records, each with an id of its own."""
        sink = self._source.sink()
        await sink.open()
        await sink.write([_produced(text) for text in texts])
        await sink.close()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Takes answers and dead letters as they come."""
        tasks = [
            asyncio.create_task(_listen(self._sink, lambda r: self.answers.append(_answer(r)))),
            asyncio.create_task(_listen(self._dead, lambda r: self.letters.append(r.value))),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def until(self, is_so: Callable[[list[Answer]], bool]) -> None:
        """Wait until what has come is so."""
        give_up = time.monotonic() + PATIENCE_S
        while not is_so(self.answers):
            assert time.monotonic() < give_up, f"{len(self.answers)} came\n{self.log()[-3000:]}"
            await asyncio.sleep(0.05)

    async def until_all(self, wanted: set[str]) -> None:
        """Wait until each of these records has an answer."""
        await self.until(lambda came: {answer.record for answer in came} >= wanted)

    def log(self) -> str:
        return (self._folder / "log").read_text()

    def end(self) -> list[int]:
        """Ask all runners that live to leave; their exit statuses."""
        alive = [runner for runner in self._runners if runner.poll() is None]
        for runner in alive:
            runner.send_signal(signal.SIGTERM)
        try:
            return [runner.wait(20) for runner in alive]
        finally:
            for runner in self._runners:
                runner.kill()
                runner.wait(10)


def _produced(text: str) -> Produced:
    body = json.dumps({"text": text}).encode()
    origin = Record("origin", "0", text, b"")
    return Produced(str(uuid.uuid4()), body, text.encode(), {}, origin)


async def _listen(bench: SpecBench, tell: Callable[[Record], None]) -> None:
    async with opened(bench.source()) as source:
        while True:
            records = await source.poll(1000, 0.1)
            for record in records:
                tell(record)
            await source.settle(records)


def _answer(record: Record) -> Answer:
    headers = {name: value.decode() for name, value in record.headers}
    (text,) = json.loads(record.value).values()
    said, mark = text.split()
    return Answer(said.lower(), mark, headers["penstock-id"], int(headers["penstock-version"]))
