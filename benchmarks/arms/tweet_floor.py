"""The bare pipeline of the tweet benchmark: the ways of looping that are tried, and their run."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from benchmarks.places import PYTHON, SERVERS
from benchmarks.tweet_texts import TWEETS

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class TweetFloor:
    """One way of looping over tokenizer and engine; see servers/tweet_floor.py."""

    batch: int
    window: int = 128
    workers: int = 2
    kind: str = "threads"
    threads: int = 1
    graph: str = "basic"
    read: bool = False

    def __str__(self) -> str:
        layout = f"{self.workers} {self.kind} of {self.threads} engine thread(s)"
        return f"batch {self.batch} of {self.window} sorted, {layout}, graph {self.graph}"

    def reading(self) -> TweetFloor:
        """Return the same loop with the model's own normalising and refusing inside."""
        return replace(self, read=True)


CHOICES = [
    *(TweetFloor(batch) for batch in (4, 8, 16, 32)),
    *(TweetFloor(batch, kind="processes") for batch in (4, 8, 16)),
    TweetFloor(8, workers=1, threads=2),
    TweetFloor(8, window=32),
    TweetFloor(1, window=1),
    TweetFloor(8, graph="all"),
]


def _run(version: Path, choice: TweetFloor, seconds: float) -> Any:
    plan = {
        "model": str(version),
        "tweets": str(TWEETS),
        "seconds": seconds,
        **asdict(choice),
    }
    command = [str(PYTHON), str(SERVERS / "tweet_floor.py"), json.dumps(plan)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds + 60, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"the floor loop failed: {done.stderr.strip()[-600:]}")
    return json.loads(done.stdout)


def measure(version: Path, choice: TweetFloor, duration_s: float) -> float:
    """Return tweets/s of the bare pipeline; RuntimeError, saying why, when the loop fails."""
    rate: float = _run(version, choice, duration_s)["tweets_s"]
    return rate


def expected(version: Path) -> list[list[float]]:
    """Return the scores of all tweets of the corpus, one run each; RuntimeError as `measure`."""
    found: list[list[float]] = _run(version, TweetFloor(1, read=True), 0)
    return found
