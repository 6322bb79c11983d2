"""A live server of several serving processes, and connections that know which one they reach."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.interop.live import AT_ONCE, Live, Reply, Rest, eventually, text_input
from tests.interop.models import save_python

WHO = '''
import os

from penstock import Model


class Who(Model):
    """Answers the process that computes it."""

    def predict(self, text: list[str]) -> list[str]:
        return [str(os.getpid())] * len(text)
'''
EXPLICIT = ("--model-control", "explicit", "--load-model", "who")
_CHILD = "penstock.app.processes.child"


def save_who(repository: Path) -> Path:
    """A model that tells its process."""
    return save_python(repository / "who" / "1" / "model.py", WHO)


class StillLoading(AssertionError):
    """A process that was started again does not have its models yet."""


class Fleet(Live):
    """A running server of several processes."""

    def __init__(
        self, paths: Sequence[str | Path], *args: str, folder: Path, workers: int = 2
    ) -> None:
        self.count = workers
        several = ("--workers", str(workers), *AT_ONCE)
        super().__init__(paths, *several, *args, folder=folder)

    def pids(self) -> list[int]:
        """The serving processes that are there."""
        found = []
        for child in psutil.Process(self.process.pid).children():
            try:
                if _CHILD in child.cmdline():
                    found.append(child.pid)
            except psutil.NoSuchProcess:
                continue
        return found

    def who(self, rest: Rest) -> int:
        """The process behind a connection."""
        reply = rest.infer("who", text_input(""))
        if reply.status != 200:
            raise StillLoading(reply.body)
        return int(reply.json()["outputs"][0]["data"][0])

    @contextmanager
    def each(self) -> Iterator[dict[int, Rest]]:
        """A connection to each serving process, by its pid."""
        found: dict[int, Rest] = {}
        held: list[Rest] = []
        try:
            deadline = time.monotonic() + 20
            while len(found) < self.count:
                assert time.monotonic() < deadline, f"only {sorted(found)} answer"
                rest = self.rest(10)
                held.append(rest)
                with contextlib.suppress(StillLoading):
                    found.setdefault(self.who(rest), rest)
            yield found
        finally:
            for rest in held:
                rest.connection.close()

    def ask_each(self, method: str, path: str) -> list[Reply]:
        """What each process answers."""
        with self.each() as connections:
            return [rest.ask(method, path) for rest in connections.values()]

    def is_ready_everywhere(self, model: str) -> bool:
        """Whether a model is ready in each process."""
        replies = self.ask_each("GET", f"/v2/models/{model}/ready")
        return all(reply.status == 200 for reply in replies)

    def folder(self) -> Path:
        """The private folder of this server."""
        opened = psutil.Process(self.process.pid).open_files()
        (path,) = {Path(file.path) for file in opened if file.path.endswith("control.db")}
        return path.parent

    def back(self) -> None:
        """Wait until as many processes serve as there should be."""
        eventually(lambda: self.metric("penstock_processes") == self.count, 30)


class Steady:
    """Clients that ask all the time, each on a connection of its own.

    Attributes:
        answers: what they were told, as often as it was.
        failures: what went wrong, with the process that was asked last; 0: none was.
    """

    def __init__(self, server: Fleet, model: str = "who", clients: int = 6) -> None:
        self.answers: dict[str, int] = {}
        self.failures: list[tuple[int, str]] = []
        self._server = server
        self._model = model
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(clients)
        self._clients = [self._pool.submit(self._ask) for _ in range(clients)]

    def __enter__(self) -> Steady:
        self.more(50)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for client in self._clients:
            client.result(30)
        self._pool.shutdown()

    def more(self, count: int) -> None:
        """Wait for so many more answers."""
        before = self.total
        eventually(lambda: self.total >= before + count, 30)

    @property
    def total(self) -> int:
        with self._lock:
            return sum(self.answers.values())

    def _ask(self) -> None:
        rest, last = self._server.rest(10), 0
        while not self._stop.is_set():
            try:
                reply = rest.infer(self._model, text_input("a"))
            except (OSError, http.client.HTTPException) as err:
                self._fail(last, repr(err))
                rest.connection.close()
                rest, last = self._server.rest(10), 0
                continue
            if reply.status != 200:
                self._fail(last, f"{reply.status} {reply.body!r}")
                continue
            (text,) = reply.json()["outputs"][0]["data"]
            last = int(text) if text.isdigit() else 0
            with self._lock:
                self.answers[text] = self.answers.get(text, 0) + 1
        rest.connection.close()

    def _fail(self, last: int, text: str) -> None:
        with self._lock:
            self.failures.append((last, text))
