"""The loads that each server of the tweet benchmark gets in one round."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.arms import tutorial as tutorial_arm
from benchmarks.arms.arm import ArmError
from benchmarks.arms.tutorial import Tutorial
from benchmarks.arms.tweet_penstock import TweetPenstock
from benchmarks.arms.tweet_service import PATH, TweetService
from benchmarks.load.open_loop import run_open_loop
from benchmarks.load.request_folder import write_requests
from benchmarks.load.wrk import run_wrk
from benchmarks.tweet_texts import distinct, load_tweets, rows, text_request, v2_request

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 32
ROWS_CONNECTIONS = 4
CONNECTIONS = (16, 32, 128)
SERVICE_CONNECTIONS = (1, 16)
TUTORIAL_CONNECTIONS = (1, 4, 16)
SPARE = 1.3  # more distinct texts than the floor could answer in one load
KEPT_S = 10.0

Load = dict[str, float]


def expect_good(name: str, load: Load) -> Load:
    """Return `load`. Raises ArmError when nothing was answered, or most answers were errors."""
    if load["requests"] - load["non_2xx"] < max(1.0, load["requests"] / 2):
        raise ArmError(f"{name}: {load['non_2xx']:.0f} of {load['requests']:.0f} were refused")
    return load


class PenstockLoads:
    """Penstock: one tweet a request at several connections, and many rows a request."""

    def __init__(self, model: Path, folder: Path) -> None:
        self.arm = TweetPenstock(model, folder / "penstock")
        tweets = load_tweets()
        one = [v2_request(model.name, [tweet]) for tweet in tweets]
        many = [v2_request(model.name, group) for group in rows(tweets, ROWS)]
        self._one = write_requests(folder / "penstock-one", one)
        self._rows = write_requests(folder / "penstock-rows", many)

    def run(
        self, duration_s: float, connections: set[int], rate: float, expected: list[float]
    ) -> dict[str, Load]:
        """Load the started arm; `rate` is that of the open loop (0: none)."""
        port, found = self.arm.http_port, {}
        self.arm.check(expected)
        run_wrk(port, self._one, 32, 1)
        for count in sorted({*CONNECTIONS, *connections}):
            load = expect_good("penstock", run_wrk(port, self._one, count, duration_s))
            found[f"{count} connections"] = {**load, "tweets_s": load["req_s"]}
        load = expect_good("penstock", run_wrk(port, self._rows, ROWS_CONNECTIONS, duration_s))
        key = f"{ROWS} rows, {ROWS_CONNECTIONS} connections"
        found[key] = {**load, "tweets_s": load["req_s"] * ROWS}
        if rate:
            load = run_open_loop(port, self._one, rate, duration_s)
            found["open loop"] = {**load, "tweets_s": load["rate_sent"]}
        self.arm.check(expected)
        return found


class ServiceLoads:
    """The service: texts it never saw, then texts it has kept, then hit and echo in turns."""

    def __init__(self, model: Path, folder: Path, rate: float, duration_s: float) -> None:
        """`rate`: the most tweets/s that can be expected of misses."""
        self.arm = TweetService(model, folder / "service")
        self._folder = folder
        self._tweets = load_tweets()
        self._hits = write_requests(
            folder / "hits", [text_request(PATH, tweet) for tweet in self._tweets]
        )
        self._count = int(rate * SPARE * (duration_s + 1)) + 200
        self._made = 0
        self._misses: dict[str, tuple[Path, int]] = {}

    def _distinct(self, name: str, count: int) -> Path:
        """Return a folder of texts that no other load of a round has; the same for each round."""
        if name not in self._misses:
            texts = distinct(self._tweets, count, self._made)
            self._made += count
            requests = [text_request(PATH, text) for text in texts]
            self._misses[name] = (write_requests(self._folder / name, requests), count)
        return self._misses[name][0]

    def run(
        self, duration_s: float, connections: set[int], rate: float, expected: list[float]
    ) -> dict[str, Load]:
        """Load the started arm, its store empty; `rate` is that of the open loop (0: none)."""
        port, found = self.arm.http_port, {}
        counts = sorted({*SERVICE_CONNECTIONS, *connections}, reverse=True)
        folders = {count: self._distinct(f"misses-{count}", self._count) for count in counts}
        run_wrk(port, self._distinct("misses-warm", self._count), 16, 1)
        for count, folder in folders.items():
            found[f"misses, {count} connections"] = self._miss(port, folder, count, duration_s)
        if rate:
            folder = self._distinct("misses-open", int(rate * duration_s) + 200)
            load = run_open_loop(port, folder, rate, duration_s)
            found["misses, open loop"] = {**load, "tweets_s": load["rate_sent"]}
        self._keep(port)
        for count in sorted(SERVICE_CONNECTIONS, reverse=True):
            before = self.arm.lookups()[1]
            load = expect_good("service", run_wrk(port, self._hits, count, duration_s))
            missed = self.arm.lookups()[1] - before
            if missed:
                raise ArmError(f"{missed} of the hits at {count} connections were misses")
            found[f"hits, {count} connections"] = {**load, "tweets_s": load["req_s"]}
        self.arm.check(expected)
        found["hit and echo"] = self.arm.hit_and_echo(self._tweets * 4)
        return found

    def _miss(self, port: int, folder: Path, count: int, duration_s: float) -> Load:
        before = self.arm.lookups()[0]
        load = expect_good("service", run_wrk(port, folder, count, duration_s))
        hits = self.arm.lookups()[0] - before
        if hits:
            raise ArmError(f"{hits} of the misses at {count} connections were hits")
        return {**load, "tweets_s": load["req_s"]}

    def _keep(self, port: int) -> None:
        """Ask for every tweet until none is a miss: they are written in the background."""
        end_s = time.monotonic() + KEPT_S
        while time.monotonic() < end_s:
            before = self.arm.lookups()[1]
            run_wrk(port, self._hits, 16, 1)
            if self.arm.lookups()[1] == before:
                return
        raise ArmError(f"the service did not keep {len(self._tweets)} texts in {KEPT_S:.0f} s")


class TutorialLoads:
    """The tutorial's server at the connection counts among which its peak is sought."""

    def __init__(self, folder: Path) -> None:
        self.arm = Tutorial(folder / "tutorial")
        requests = [text_request(tutorial_arm.PATH, tweet) for tweet in load_tweets()]
        self._folder = write_requests(folder / "tutorial-one", requests)

    def run(self, duration_s: float) -> dict[str, Load]:
        """Load the started arm."""
        port, found = self.arm.http_port, {}
        self.arm.check()
        run_wrk(port, self._folder, 4, 1)
        for count in TUTORIAL_CONNECTIONS:
            load = expect_good("tutorial", run_wrk(port, self._folder, count, duration_s))
            found[f"{count} connections"] = {**load, "tweets_s": load["req_s"]}
        self.arm.check()
        return found
