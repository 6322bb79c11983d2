"""A live server that rolls a model out, and what is known of it from outside."""

from __future__ import annotations

import http.client
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.fault.fleet import Fleet
from tests.interop.live import Rest, eventually, tensor
from tests.interop.models import save_python

SCORE = '''
import os
import threading

from penstock import Model


class Score(Model):
    """Answers a number: its version, or NaN where it is broken."""

    def load(self, context):
        threading.Event().wait({load_s})

    def predict(self, x: list[float]) -> list[float]:
        threading.Event().wait(0.001)
        return [{score}] * len(x)
'''


def save_score(repository: Path, version: int, score: str = "", load_s: float | str = 0) -> Path:
    """A version of the model ``score``."""
    folder = repository / "score" / str(version)
    text = SCORE.replace("{load_s}", str(load_s)).replace("{score}", score or f"float({version})")
    hidden = repository / f".score-{version}"
    save_python(hidden / "model.py", text)
    folder.parent.mkdir(parents=True, exist_ok=True)
    hidden.rename(folder)
    return folder


class Asked(NamedTuple):
    """One answer.

    Attributes:
        at_s: when it came, since 1970.
        version: who answered; 0: nobody, it failed.
        failure: what went wrong; "": nothing.
        is_broken: whether its connection broke off: what its process was at died with it.
    """

    at_s: float
    version: int
    failure: str = ""
    is_broken: bool = False


class Load:
    """Clients that ask all the time, each on a connection of its own, and keep what came."""

    def __init__(self, server: Fleet, clients: int = 6) -> None:
        self._server = server
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._asked: list[Asked] = []
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    @property
    def asked(self) -> list[Asked]:
        with self._lock:
            return list(self._asked)

    @property
    def failures(self) -> list[Asked]:
        """Requests that were answered with an error."""
        return [one for one in self.asked if one.failure and not one.is_broken]

    @property
    def broken(self) -> list[Asked]:
        """Requests whose connection broke off."""
        return [one for one in self.asked if one.is_broken]

    def versions(self, since_s: float = 0.0) -> set[int]:
        """Who has answered since then."""
        return {one.version for one in self.asked if one.at_s >= since_s and one.version}

    def last_s(self, version: int) -> float:
        """When a version answered last."""
        return max((one.at_s for one in self.asked if one.version == version), default=0.0)

    def more(self, count: int, since_s: float = 0.0) -> None:
        """Wait for so many more answers, that came after an instant."""
        start_s = max(since_s, time.time())
        eventually(lambda: sum(one.at_s >= start_s for one in self.asked) >= count, 30)

    def _ask(self) -> None:
        rest = self._server.rest(20)
        while not self._stop.is_set():
            found = _asked_once(rest)
            with self._lock:
                self._asked.append(found)
            if found.is_broken:
                rest.connection.close()
                rest = self._server.rest(20)
        rest.connection.close()


def _asked_once(rest: Rest) -> Asked:
    try:
        reply = rest.infer("score", tensor("x", "FP64", [1], [1.0]))
    except (OSError, http.client.HTTPException) as err:
        return Asked(time.time(), 0, repr(err), is_broken=True)
    if reply.status != 200:
        return Asked(time.time(), 0, f"{reply.status} {reply.body!r}")
    return Asked(time.time(), int(reply.json()["model_version"]))


class Rolling(Fleet):
    """A running server whose model ``score`` is rolled out."""

    def begin(self, spec: Mapping[str, Any]) -> None:
        """Keep version 1, bring version 2 in, and start."""
        self.keep_first()
        self.start(spec)

    def keep_first(self) -> None:
        """All requests to version 1, whatever else comes."""
        route = {"variants": [{"name": "stable", "version": 1, "weight": 100}]}
        reply = self.ask("PUT", "/v2/routes/score", route)
        assert reply.status == 200, reply.body

    def start(self, spec: Mapping[str, Any]) -> None:
        """Start, as soon as the version is known in the process that is asked."""

        def started() -> bool:
            reply = self.ask("POST", "/v2/rollouts", {"model": "score", "candidate": 2, **spec})
            assert reply.status in (200, 400), reply.body
            return reply.status == 200

        eventually(started, 20)

    def rollout(self) -> Any:
        """Where it stands."""
        reply = self.ask("GET", "/v2/rollouts/score")
        assert reply.status == 200, reply.body
        return reply.json()

    def reaches(self, *stages: str, timeout_s: float = 30.0) -> Any:
        """Wait until it stands in one of these; what it says then."""

        def there() -> Any:
            found = self.rollout()
            return found if found["stage"] in stages else None

        try:
            return eventually(there, timeout_s)
        except AssertionError as err:
            found = self.rollout()
            raise AssertionError(f"{err}: {found['stage']}: {found['explanation']}") from err

    def told(self) -> list[tuple[str, str]]:
        """The changes so far: what was reached, and who did it."""
        return [(line["to"], line["who"]) for line in self.rollout()["history"]]

    def decider(self) -> int:
        """The process that decides."""
        with closing(sqlite3.connect(self.folder() / "control.db")) as db:
            sql = (
                "SELECT pid FROM leases JOIN processes ON holder = id WHERE name = 'rollout/score'"
            )
            return eventually(lambda: next((pid for (pid,) in db.execute(sql)), 0))

    def is_routed_everywhere(self, version: int) -> bool:
        """Whether a version answers in each process."""
        with self.connections() as connections:
            return all(_asked_once(rest).version == version for rest in connections)

    @contextmanager
    def connections(self) -> Iterator[list[Rest]]:
        """More connections than there are processes: each has some."""
        found = [self.rest(10) for _ in range(8 * self.count)]
        try:
            yield found
        finally:
            for rest in found:
                rest.connection.close()
