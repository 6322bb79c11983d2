"""Users that ask one model all the time, and what they were told."""

from __future__ import annotations

import http.client
import threading
from concurrent.futures import ThreadPoolExecutor

from tests.interop.live import Live, eventually, text_input


class Crowd:
    """Clients on threads, each with users of its own and a connection that it keeps.

    Attributes:
        answers: how many requests each version answered.
        failures: what went wrong instead.
        sent_back: users who met an older version after a newer one.
    """

    def __init__(self, server: Live, model: str = "m", clients: int = 4, users: int = 25) -> None:
        self.answers: dict[str, int] = {}
        self.failures: list[str] = []
        self.sent_back = 0
        self._server = server
        self._model = model
        self._users = users
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(clients)
        self._clients = [self._pool.submit(self._ask, number) for number in range(clients)]

    def __enter__(self) -> Crowd:
        self.more(20)
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

    def _ask(self, number: int) -> None:
        newest: dict[str, int] = {}
        rest, turn = self._server.rest(10), 0
        path = f"/v2/models/{self._model}/infer"
        while not self._stop.is_set():
            turn += 1
            user = f"user-{number}-{turn % self._users}"
            body = {"inputs": [text_input(user)]}
            try:
                reply = rest.ask("POST", path, body, {"X-User-Id": user})
            except (OSError, http.client.HTTPException) as err:
                self._fail(repr(err))
                rest.connection.close()
                rest = self._server.rest(10)
                continue
            if reply.status != 200:
                self._fail(f"{reply.status} {reply.error}")
                continue
            version = reply.json()["model_version"]
            with self._lock:
                self.answers[version] = self.answers.get(version, 0) + 1
                self.sent_back += int(version) < newest.get(user, 0)
            newest[user] = int(version)
        rest.connection.close()

    def _fail(self, text: str) -> None:
        with self._lock:
            self.failures.append(text)
