"""``penstock stream run`` on a real Redis: killed runners, poison, restarts, slow sinks."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from redis import Redis

from tests.interop.live import PENSTOCK, clean_environ, eventually, run_cli
from tests.stores.redis_server import RedisServer, free_port

pytestmark = [pytest.mark.fault, pytest.mark.timeout(120)]

MODEL = """
import os, signal, time
from penstock import InvalidInput, Model

class Shout(Model):
    def predict(self, text: list[str]) -> list[str]:
        if "die" in text:
            os.kill(os.getpid(), signal.SIGKILL)
        if "fail" in text:
            raise ValueError("it failed")
        time.sleep(0.001 * len(text))
        return [InvalidInput(n, "refused") if one == "no" else one.upper()
                for n, one in enumerate(text)]
"""

STREAM = """
name: shouts
source: {{broker: redis, url: "{url}", stream: texts, group: g, min_idle_s: 0.5}}
model: {{path: shout.py}}
sink: {{broker: redis, url: "{url}", stream: shouts}}
dead_letters: {{broker: redis, url: "{url}", stream: dead}}
micro_batch: {{max_records: 20}}
in_flight: 3
on_error: {{max_attempts: 4}}
{more}
"""


class Streams:
    """A server, a model, a STREAM.yaml, and runners of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = RedisServer(folder, "--appendonly", "yes", "--appendfsync", "always")
        self.server.start()
        self.client: Any = Redis.from_url(self.server.url)
        self.runners: list[subprocess.Popen[bytes]] = []
        (folder / "shout.py").write_text(MODEL)
        self.write()

    def write(self, more: str = "") -> None:
        text = STREAM.format(url=self.server.url, more=more)
        (self.folder / "stream.yaml").write_text(text)

    def run(self, *args: str) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            runner = subprocess.Popen(
                [PENSTOCK, "stream", "run", "stream.yaml", *args],
                cwd=self.folder,
                env=clean_environ(),
                stdout=log,
                stderr=log,
            )
        self.runners.append(runner)
        return runner

    def send(self, *texts: str) -> None:
        pipeline = self.client.pipeline()
        for text in texts:
            pipeline.xadd("texts", {"value": json.dumps({"text": text})})
        pipeline.execute()

    def said(self, stream: str = "shouts") -> list[str]:
        name = "text" if stream == "dead" else "output"
        values = [json.loads(fields[b"value"]) for _, fields in self.client.xrange(stream)]
        return [value.get(name) or next(iter(value.values())) for value in values]

    def pending(self) -> int:
        return int(self.client.xpending("texts", "g")["pending"])

    def wait_for(self, count: int, stream: str = "shouts", timeout_s: float = 40) -> None:
        try:
            eventually(lambda: self.client.xlen(stream) >= count, timeout_s)
        except AssertionError as err:
            raise AssertionError((self.folder / "log").read_text()[-3000:]) from err

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def end(self) -> None:
        for runner in self.runners:
            runner.kill()
            runner.wait(10)
        self.client.close()
        self.server.kill()


@pytest.fixture
def streams(tmp_path: Path) -> Iterator[Streams]:
    made = Streams(tmp_path)
    yield made
    made.end()


def stop(runner: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM) -> int:
    runner.send_signal(how)
    return runner.wait(20)


@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
def test_runners_that_are_killed_lose_and_double_nothing(streams: Streams, delivery: str) -> None:
    streams.write(f"delivery: {delivery}")
    texts = [f"text {n}" for n in range(3000)]
    streams.send(*texts)
    for done in (200, 600, 1000):
        runner = streams.run()
        streams.wait_for(done)
        runner.kill()
        runner.wait(10)
    streams.run()
    other = streams.run()
    streams.wait_for(3000)
    eventually(lambda: streams.pending() == 0, 20)
    assert sorted(streams.said()) == sorted(text.upper() for text in texts)
    assert stop(other) == 0


def test_a_record_that_kills_its_runner_dies_alone(streams: Streams) -> None:
    texts = [f"text {n}" for n in range(60)]
    streams.send(*texts[:30], "die", *texts[30:])
    for _ in range(12):
        runner = streams.run()
        try:
            eventually(lambda now=runner: now.poll() is not None or streams.client.xlen("dead"), 30)
        except AssertionError as err:
            raise AssertionError(streams.log()[-3000:]) from err
        if streams.client.xlen("dead"):
            break
    streams.wait_for(60)
    assert streams.said("dead") == ["die"]
    assert sorted(streams.said()) == sorted(text.upper() for text in texts)
    assert stop(runner) == 0


def test_a_server_that_restarts_in_the_middle(streams: Streams) -> None:
    texts = [f"text {n}" for n in range(2000)]
    streams.send(*texts[:1500])
    runner = streams.run()
    streams.wait_for(300)
    streams.server.kill()
    eventually(lambda: "and is tried again" in streams.log(), 10)
    streams.server.start()
    streams.send(*texts[1500:])
    streams.wait_for(2000)
    eventually(lambda: streams.pending() == 0, 20)
    assert sorted(streams.said()) == sorted(text.upper() for text in texts)
    assert stop(runner) == 0
    assert "Traceback" not in streams.log()


def test_poison_refused_rows_and_nonsense(streams: Streams) -> None:
    streams.send(*["a"] * 30, "fail", "no", "b", "no")
    streams.client.xadd("texts", {"value": "{"})
    streams.client.xadd("texts", {"other": "x"})
    streams.send("c")
    runner = streams.run()
    streams.wait_for(32)
    streams.wait_for(5, "dead")
    letters = [fields for _, fields in streams.client.xrange("dead")]
    codes = [fields[b"penstock-error-code"].decode() for fields in letters]
    assert sorted(codes) == ["invalid_argument"] * 4 + ["model_failed"]
    (failed,) = (f for f in letters if f[b"penstock-error-code"] == b"model_failed")
    assert json.loads(failed[b"value"]) == {"text": "fail"}
    assert b"it failed" in failed[b"penstock-error"]
    eventually(lambda: streams.pending() == 0, 10)
    assert stop(runner, signal.SIGINT) == 0
    assert "32 predicted, 5 dead" in streams.log()
    assert streams.log().count("Traceback") == 1  # not again for each half of a micro-batch


def test_memory_stays_bounded_before_a_sink_that_hangs(streams: Streams, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    second = RedisServer(tmp_path / "second")
    second.start()
    text = STREAM.format(url=streams.server.url, more="max_bytes: 4MiB").replace(
        f'sink: {{broker: redis, url: "{streams.server.url}"',
        f'sink: {{broker: redis, url: "{second.url}"',
    )
    (streams.folder / "stream.yaml").write_text(text)
    try:
        runner = streams.run()
        out = Redis.from_url(second.url)
        streams.send("first")
        eventually(lambda: out.xlen("shouts") == 1, 20)
        process = psutil.Process(runner.pid)
        before = process.memory_info().rss
        second.pause()
        for _ in range(20):
            streams.send(*["x" * 200_000] * 20)  # 80 MB in all
        eventually(lambda: streams.pending() > 5, 20)
        seen = [streams.pending() for _ in range(200)]
        assert max(seen) * 200_000 < 9_000_000
        assert process.memory_info().rss - before < 64_000_000
        second.resume()
        eventually(lambda: out.xlen("shouts") == 401, 40)
        assert stop(runner) == 0
        out.close()
    finally:
        second.kill()


def test_rights_that_go_end_the_runner_and_nothing_is_lost(streams: Streams) -> None:
    admin = streams.client
    admin.execute_command("ACL", "SETUSER", "r", "on", ">pw", "~*", "&*", "+@all")
    url = streams.server.url
    text = STREAM.format(url=url.replace("://", "://r:pw@"), more="")
    (streams.folder / "stream.yaml").write_text(text)
    streams.send(*["a"] * 50)
    runner = streams.run()
    streams.wait_for(50)
    admin.execute_command("ACL", "SETUSER", "r", "-eval")
    streams.send(*["b"] * 50)
    assert runner.wait(20) == 1
    assert "Traceback" not in streams.log()
    assert "check the user's rights and password" in streams.log()
    admin.execute_command("ACL", "SETUSER", "r", "+eval")
    runner = streams.run()
    streams.wait_for(100)
    assert sorted(streams.said()) == ["A"] * 50 + ["B"] * 50
    assert stop(runner) == 0


def test_no_broker_at_the_start(streams: Streams) -> None:
    text = STREAM.format(url=f"redis://127.0.0.1:{free_port()}/0", more="")
    (streams.folder / "stream.yaml").write_text(text)
    done = run_cli("stream", "run", "stream.yaml", cwd=streams.folder)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Connection refused" in done.stderr
    assert "check that the server runs" in done.stderr.splitlines()[-1]
    assert all(line.count("tried again") <= 1 for line in done.stderr.splitlines())
    assert "the group keeps the name" not in done.stderr  # there is none


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text.replace("group: g", "grp: g"), "did you mean 'group'"),
        (lambda text: text + "columns: {txt: a}", "no input 'txt': did you mean 'text'"),
        (lambda text: text + "rename: {sound: a}", "rename: the model has no output 'sound'"),
        (lambda text: text.replace("redis://", "reds://", 1), "source.url: the scheme must be"),
        (lambda text: text.replace("shout.py", "shuot.py"), "model.path: shuot.py: no such file"),
        (lambda text: text.replace("shout.py", "shuot.py"), "shout.py"),
        (lambda text: text + "decode: own.py:read", "there is no such file"),
    ],
)
def test_a_file_that_is_wrong(streams: Streams, change: Callable[[str], str], says: str) -> None:
    file = streams.folder / "stream.yaml"
    file.write_text(change(file.read_text()))
    done = run_cli("stream", "run", "stream.yaml", cwd=streams.folder)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert says in done.stderr
    assert "draining" not in done.stderr
    assert "Traceback" not in done.stderr
    done = run_cli("stream", "run", "nowhere.yaml", cwd=streams.folder)
    assert done.returncode == 2
    assert "nowhere.yaml: cannot be read: No such file" in done.stderr
