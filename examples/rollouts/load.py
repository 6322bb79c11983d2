"""Users that ask for digits all the time, and what they were told."""

from __future__ import annotations

import http.client
import json
import random
import re
import threading
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

_VERSION = re.compile(rb'"model_version":"(\d+)"')
_OF_VERSION = re.compile(rb"version (\d+)")


class Tally:
    """What clients were told.

    Attributes:
        answered: requests by the version that answered.
        own_errors: requests that the model itself failed, by its version.
        failed: every other request that got no answer, by its text.
        sent_back: users who met an older version after a newer one.
    """

    def __init__(self) -> None:
        self.answered: Counter[int] = Counter()
        self.own_errors: Counter[int] = Counter()
        self.failed: Counter[str] = Counter()
        self.sent_back = 0
        self._newest: dict[str, int] = {}

    def answer(self, user: str, version: int) -> None:
        """A user got an answer."""
        self.answered[version] += 1
        if version < self._newest.get(user, 0):
            self.sent_back += 1
        self._newest[user] = version

    def error(self, status: int, body: bytes) -> None:
        """A user got none."""
        version = _OF_VERSION.search(body)
        if status == http.client.INTERNAL_SERVER_ERROR and version is not None:
            self.own_errors[int(version[1])] += 1
        else:
            self.failed[f"{status} {body[:200].decode(errors='replace')}"] += 1


class Load:
    """Clients on threads, each with users of its own and a connection that it keeps.

    Args:
        url: the server's REST address.
        held_out: the file of pictures.
        num_clients: how many threads.
        users_per_client: how many users each of them stands for.
        pause_s: what each client waits between two requests, in seconds.
    """

    def __init__(
        self,
        url: str,
        held_out: Path,
        num_clients: int = 6,
        users_per_client: int = 100,
        pause_s: float = 0.001,
    ) -> None:
        self._host = urlsplit(url).netloc
        self._bodies = _bodies(held_out)
        self._users_per_client, self._pause_s = users_per_client, pause_s
        self._stop = threading.Event()
        self._tallies = [Tally() for _ in range(num_clients)]
        self._threads = [
            threading.Thread(target=self._ask, args=(number,), daemon=True)
            for number in range(num_clients)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10)

    def take(self) -> Tally:
        """What came since the last call, of all clients together."""
        taken, self._tallies = self._tallies, [Tally() for _ in self._tallies]
        total = Tally()
        for tally in taken:
            total.answered += tally.answered
            total.own_errors += tally.own_errors
            total.failed += tally.failed
            total.sent_back += tally.sent_back
        return total

    def _ask(self, number: int) -> None:
        chosen = random.Random(number)
        connection = http.client.HTTPConnection(self._host, timeout=10)
        while not self._stop.is_set():
            user = f"user-{number}-{chosen.randrange(self._users_per_client)}"
            body, headers = chosen.choice(self._bodies), {"X-User-Id": user}
            try:
                connection.request("POST", "/v2/models/digits/infer", body, headers)
                reply = connection.getresponse()
                told = reply.read()
            except (OSError, http.client.HTTPException) as err:
                self._tallies[number].failed[repr(err)] += 1
                connection.close()
                continue
            version = _VERSION.search(told)
            if reply.status == http.client.OK and version is not None:
                self._tallies[number].answer(user, int(version[1]))
            else:
                self._tallies[number].error(reply.status, told)
            time.sleep(self._pause_s)
        connection.close()


def _bodies(held_out: Path) -> list[bytes]:
    """A request for each picture."""
    with np.load(held_out) as pictures:
        rows = pictures["pixels"].astype(float)
    tensor = {"name": "pixels", "datatype": "FP32", "shape": [1, rows.shape[1]]}
    return [
        json.dumps(
            {"inputs": [tensor | {"data": row.tolist()}], "outputs": [{"name": "label"}]}
        ).encode()
        for row in rows
    ]
