"""Models that raise, hang and answer nonsense; queues that are full; clients that go away."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.interop.live import (
    AT_ONCE,
    HOST,
    Live,
    Reply,
    eventually,
    seconds_input,
    text_input,
)
from tests.interop.models import save_python

pytestmark = pytest.mark.fault

BATCHER = '''
import threading

from penstock import InvalidInput, Model


class Batcher(Model):
    """Refuses bad items, fails on broken ones, and waits until told to begin."""

    def load(self, context):
        self._gate = context.path.parent / "gate"

    def predict(self, text: list[str]) -> list[str]:
        if "first" in text:
            while not self._gate.exists():
                threading.Event().wait(0.005)
        answers = [t.upper() for t in text]
        for index, item in enumerate(text):
            if item == "bad":
                answers[index] = InvalidInput(index, "this item is bad")
            if item == "worse":
                raise InvalidInput(index, "this item is worse")
        return [a if a != "FIRST" else str(len(text)) for a in answers]
'''


@contextmanager
def busy(server: Live, seconds: float) -> Iterator[Future[Reply]]:
    """Keep the model ``slow`` computing."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(server.infer, "slow", seconds_input(seconds))
        eventually(lambda: server.metric("penstock_instances_busy", model="slow"))
        yield future


def cancelled(server: Live) -> float:
    return server.metric("penstock_requests_total", model="slow", outcome="cancelled")


def test_a_model_that_raises(server: Live) -> None:
    reply = server.infer("raiser", text_input("boom"))
    assert reply.status == 500
    assert "the engine is on fire" in reply.error
    assert "raiser" in reply.error
    assert "Traceback" not in reply.error
    assert "model.py" not in reply.error
    assert "RuntimeError: the engine is on fire" in server.log_text()
    assert server.text_answer("raiser", "a") == ["A"]


def test_an_item_that_is_refused(server: Live) -> None:
    reply = server.infer("raiser", text_input("bad"))
    assert (reply.status, reply.error) == (400, "this item is bad")
    assert server.text_answer("raiser", "a") == ["A"]


def test_a_model_that_answers_too_few_rows(server: Live) -> None:
    reply = server.infer("wrong_rows", text_input("short", "b"))
    assert (reply.status, "2 items" in reply.error, "with 1" in reply.error) == (500, True, True)
    assert reply.error.startswith("'wrong_rows' version 1: ")
    assert server.log_text().count(reply.error) == 1
    assert server.text_answer("wrong_rows", "a") == ["a"]


@pytest.mark.timed
def test_a_request_beyond_its_time_is_given_up_and_its_neighbour_answered(server: Live) -> None:
    with busy(server, 0.6) as neighbour:
        started = time.monotonic()
        reply = server.infer("slow", seconds_input(0), parameters={"timeout": 100_000})
        assert reply.status == 504
        assert "'slow'" in reply.error
        assert time.monotonic() - started < 0.5
        assert neighbour.result().status == 200


def test_a_model_that_hangs_beyond_the_deadline(server: Live) -> None:
    reply = server.infer("slow", seconds_input(0.5), parameters={"timeout": 50_000})
    assert reply.status == 504
    assert server.infer("slow", seconds_input(0)).status == 200


def test_a_full_queue_refuses_and_says_when_to_come_again(server: Live) -> None:
    with busy(server, 0.6) as first, ThreadPoolExecutor(1) as pool:
        second = pool.submit(server.infer, "slow", seconds_input(0))
        eventually(lambda: server.metric("penstock_queue_requests", model="slow") == 1)
        reply = server.infer("slow", seconds_input(0))
        assert reply.status == 429
        assert int(reply.headers["retry-after"]) >= 1
        assert "slow" in reply.error
        assert (first.result().status, second.result().status) == (200, 200)


def test_a_client_that_goes_away_takes_its_queued_request_with_it(server: Live) -> None:
    before = cancelled(server)
    with busy(server, 0.6) as first:
        body = json.dumps({"inputs": [seconds_input(5)]})
        head = f"POST /v2/models/slow/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        with socket.create_connection((HOST, server.http_port), timeout=20) as connection:
            connection.sendall((head + "\r\n" + body).encode())
            eventually(lambda: server.metric("penstock_queue_requests", model="slow") == 1)
        eventually(lambda: cancelled(server) == before + 1)
        assert server.metric("penstock_queue_requests", model="slow") == 0
        assert first.result().status == 200
    assert server.infer("slow", seconds_input(0)).status == 200


@pytest.mark.parametrize("wrong", ["bad", "worse"])
def test_one_bad_item_is_refused_alone_in_a_batch(tmp_path: Path, wrong: str) -> None:
    save_python(tmp_path / "models" / "batcher" / "1" / "model.py", BATCHER)
    with Live([tmp_path / "models"], *AT_ONCE, folder=tmp_path) as server:
        texts = ["first", *[f"item {i}" for i in range(6)], wrong, "last"]
        with ThreadPoolExecutor(len(texts)) as pool:
            first = pool.submit(server.infer, "batcher", text_input("first"))
            eventually(lambda: server.metric("penstock_instances_busy", model="batcher"))
            others = [pool.submit(server.infer, "batcher", text_input(t)) for t in texts[1:]]
            eventually(
                lambda: server.metric("penstock_queue_requests", model="batcher") == len(others)
            )
            (tmp_path / "models" / "batcher" / "gate").touch()
            assert first.result().json()["outputs"][0]["data"] == ["1"]
            for text, future in zip(texts[1:], others, strict=True):
                reply = future.result()
                if text == wrong:
                    assert (reply.status, reply.error) == (400, f"this item is {wrong}")
                else:
                    assert reply.json()["outputs"][0]["data"] == [text.upper()]
        assert server.metric("penstock_batch_size_rows_count", model="batcher") == 2


BAD_FILES = {
    "raises on import": "raise RuntimeError('no luck')\n",
    "no python": "def (:\n",
    "no model": "x = 1\n",
    "raises in load": "from penstock import Model\n\n\nclass M(Model):\n"
    "    def load(self, context):\n        raise OSError('no luck')\n\n"
    "    def predict(self, text: list[str]) -> list[str]:\n        return text\n",
    "fails its warm-up": "from penstock import Model\n\n\nclass M(Model):\n"
    "    def predict(self, text: list[str]) -> list[str]:\n        raise OSError('no luck')\n",
    "exits": "import sys\n\nsys.exit(3)\n",
}


@pytest.mark.parametrize("content", BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_version_that_fails_to_load_changes_nothing(tmp_path: Path, content: str) -> None:
    models = tmp_path / "models"
    save_python(models / "m" / "1" / "model.py", GOOD_MODEL)
    save_python(models / "bad" / "1" / "model.py", content)
    arguments = [*AT_ONCE, "--set", "lifecycle.load_attempts=1"]
    server = Live([models], *arguments, folder=tmp_path)
    try:
        server.wait_answers()
        state = eventually(lambda: _row(server, "bad", "UNAVAILABLE"))
        assert state["reason"]
        assert server.ask("GET", "/readyz").status == 503
        assert eventually(lambda: server.text_answer("m", "a") == ["a"])
        reply = server.infer("bad", text_input("a"))
        assert reply.status in (404, 503)
    finally:
        server.stop()
    assert server.process.returncode == 0
    assert "'bad' version 1" in server.log_text()


@pytest.mark.parametrize(("error", "attempts"), [("OSError", 2), ("RuntimeError", 1)])
def test_only_what_may_pass_is_tried_again_and_the_log_has_one_traceback(
    tmp_path: Path, error: str, attempts: int
) -> None:
    count = tmp_path / "count"
    code = (
        "from penstock import Model\n\n\nclass M(Model):\n    def load(self, context):\n"
        f"        open({str(count)!r}, 'a').write('x')\n        raise {error}('no luck')\n\n"
        "    def predict(self, text: list[str]) -> list[str]:\n        return text\n"
    )
    save_python(tmp_path / "models" / "bad" / "1" / "model.py", code)
    settings = ["--set", "lifecycle.load_attempts=2", "--set", "lifecycle.initial_backoff_s=0.01"]
    server = Live([tmp_path / "models"], *AT_ONCE, *settings, folder=tmp_path)
    try:
        server.wait_answers()
        eventually(lambda: _row(server, "bad", "UNAVAILABLE"))
    finally:
        server.stop()
    assert len(count.read_text()) == attempts
    log = server.log_text()
    assert log.count("Traceback") == 1
    assert f"{error}: no luck" in log
    assert "in load" in log


GOOD_MODEL = (
    "from penstock import Model\n\n\nclass M(Model):\n"
    "    def predict(self, text: list[str]) -> list[str]:\n        return text\n"
)


def _row(server: Live, name: str, state: str) -> Any:
    for row in server.ask("POST", "/v2/repository/index").json():
        if (
            row["name"] == name
            and row.get("state") == state
            and row.get("reason") not in ("waiting to be loaded",)
        ):
            return row
    return None
