"""`penstock stream run` from one stream of a broker to another: files, processes, what came."""

from __future__ import annotations

import json
import signal
import subprocess
import time
import uuid
from collections.abc import Sequence
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
        return [one.upper() + "{mark}" for one in text]
"""


class Answer(msgspec.Struct, frozen=True):
    """What came of one record.

    Attributes:
        text: the model's.
        id: of the prediction.
        version: of the model.
    """

    text: str
    id: str
    version: int


class StreamRuns:
    """A STREAM.yaml between new streams of one broker, and runners of it.

    Args:
        folder: for its files.
        doors: where records come from, where answers go, where dead letters go.
        model: the field of STREAM.yaml.
    """

    def __init__(
        self, folder: Path, doors: tuple[SpecBench, SpecBench, SpecBench], model: Any
    ) -> None:
        self._folder = folder
        self._source, self._sink, self._dead = doors
        self._runners: list[subprocess.Popen[bytes]] = []
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

    async def begin(self) -> None:
        """Have all streams there."""
        for bench in (self._source, self._sink, self._dead):
            async with opened(bench.source()):
                pass

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

    async def take(self, wanted: set[str]) -> list[Answer]:
        """The answers as they come, until all these texts are among them."""
        return await self._take(self._sink, wanted)

    async def dead(self) -> list[Answer]:
        """The dead letters that are there."""
        return await self._take(self._dead, {"?"}, 0.5)

    async def _take(
        self, bench: SpecBench, wanted: set[str], patience_s: float = PATIENCE_S
    ) -> list[Answer]:
        taken: list[Answer] = []
        missing = set(wanted)
        give_up = time.monotonic() + patience_s
        async with opened(bench.source()) as source:
            while missing and time.monotonic() < give_up:
                records = await source.poll(100, 0.1)
                await source.settle(records)
                taken += map(_answer, records)
                missing -= {_answer(record).text for record in records}
        assert not missing or "?" in wanted, f"{len(missing)} did not come\n{self.log()[-3000:]}"
        return taken

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


def _answer(record: Record) -> Answer:
    headers = {name: value.decode() for name, value in record.headers}
    (text,) = json.loads(record.value).values()
    return Answer(text, headers["penstock-id"], int(headers["penstock-version"]))
