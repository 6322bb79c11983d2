"""The product: the tweet sentiment service, its store an empty Redis on loopback."""

from __future__ import annotations

import json
import shutil
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.arms.arm import Arm, ArmError
from benchmarks.arms.tweet_penstock import LABELS, near
from benchmarks.load.connection import answer_status, to_bytes
from benchmarks.messages import Answer
from benchmarks.percentiles import latency_summary_ms
from benchmarks.places import PYTHON, ROOT
from benchmarks.processes import ServerProcess, free_port
from benchmarks.tweet_texts import load_tweets, text_request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.messages import HttpRequest

PATH = "/api/v1/inference"
ECHO = "/livez"
_REDIS_START_S = 10.0


class TweetService(Arm):
    """`python -m apps.tweet_sentiment` as shipped, `REDIS_URL` set, nothing predicted at start."""

    label = "service"
    note = "python -m apps.tweet_sentiment, REDIS_URL on loopback, PREDICT_ON_START=0"
    packages = ("penstock", "fastapi", "uvicorn", "redis", "hiredis", "onnxruntime", "tokenizers")
    ready_path = "/readyz"

    def __init__(self, model: Path, folder: Path) -> None:
        super().__init__(model, folder)
        self.model = model
        self._redis: ServerProcess | None = None
        self._redis_port = 0

    def command(self) -> list[str]:
        """Return the command line of the server."""
        if not (ROOT / "apps" / "tweet_sentiment" / "__main__.py").exists():
            raise FileNotFoundError("no apps/tweet_sentiment")
        return [str(PYTHON), "-m", "apps.tweet_sentiment"]

    def environment(self) -> dict[str, str]:
        """Return what the service is told."""
        return {
            "PYTHONPATH": str(ROOT),
            "PORT": str(self.http_port),
            "MODELS": str(self.model.parent),
            "MODEL_NAME": self.model.name,
            "REDIS_URL": f"redis://127.0.0.1:{self._redis_port}/0",
            "PREDICT_ON_START": "0",
        }

    def start(self) -> None:
        """Start an empty Redis, then the service. Raises ArmError when something is missing."""
        found = shutil.which("redis-server")
        if found is None:
            raise ArmError("no redis-server; install it with `apt-get install redis-server`")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._redis_port = free_port()
        command = [found, "--bind", "127.0.0.1", "--port", str(self._redis_port)]
        command += ["--save", "", "--appendonly", "no", "--dir", str(self.folder)]
        self._redis = ServerProcess(command, self.folder / "redis.log")
        self._redis.start()
        end_s = time.monotonic() + _REDIS_START_S
        while not _listens(self._redis_port):
            if self._redis.exited() is not None or time.monotonic() > end_s:
                raise ArmError(f"redis-server did not start:\n{self._redis.log_tail()}")
            time.sleep(0.05)
        super().start()

    def stop(self) -> None:
        """End the service, then its Redis. Idempotent."""
        super().stop()
        if self._redis is not None:
            self._redis.stop()
            self._redis = None

    def request(self) -> HttpRequest:
        """Return the request of the first tweet."""
        return text_request(PATH, load_tweets()[0])

    def read_answer(self, body: bytes) -> Answer:
        """Return label and scores."""
        found = json.loads(body)
        scores = tuple(found["probabilities"][name] for name in LABELS)
        return Answer(LABELS.index(found["label"]), scores)

    def check(self, expected: list[float]) -> None:
        """Ask once. Raises ArmError when the scores are not the bare model's `expected`."""
        near(self.label, self.call_http(), expected)

    def lookups(self) -> tuple[int, int]:
        """Return hits and misses since the start, by the service's own count."""
        status, body = self._exchange("GET", "/api/v1/stats", None)
        if status != 200:
            raise ArmError(f"service: /api/v1/stats answered {status}")
        found: dict[str, Any] = json.loads(body)
        return found["hits"], found["misses"]

    def hit_and_echo(self, texts: Sequence[str]) -> dict[str, float]:
        """Ask for each stored text and for the echo, in turns, on one connection.

        Returns the medians in milliseconds, and by how much the hit's is later.
        """
        echo = f"GET {ECHO} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
        took: dict[str, list[float]] = {"hit": [], "echo": []}
        with socket.create_connection(("127.0.0.1", self.http_port), timeout=10) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for number, text in enumerate(texts):
                hit = to_bytes(text_request(PATH, text), self.http_port)
                pair = [("hit", hit), ("echo", echo)]
                for name, request in pair if number % 2 else reversed(pair):
                    took[name].append(_ask(connection, request))
        hit_ms, echo_ms = (latency_summary_ms(took[name])["p50_ms"] for name in ("hit", "echo"))
        return {"hit_p50_ms": hit_ms, "echo_p50_ms": echo_ms, "hit_later_ms": hit_ms - echo_ms}


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _ask(connection: socket.socket, request: bytes) -> float:
    start = time.perf_counter()
    connection.sendall(request)
    received = connection.recv(65536)
    while (status := answer_status(received)) is None:
        part = connection.recv(65536)
        if not part:
            raise ArmError("service closed the connection")
        received += part
    if status != 200:
        raise ArmError(f"service answered {received[:300]!r}")
    return time.perf_counter() - start
