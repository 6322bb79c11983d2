"""A producer, a model and a consumer on a real Redis; one of two runners is killed on the way.

Tweets are sent, a few of them broken. The sentiment model answers them in micro-batches, in two
runners that share a group; one is killed by kill -9 in the middle. In the end each tweet has one
answer or one dead letter. Needs redis-server and the extras ``redis`` and ``tweet-sentiment``.
Exits with 0 if it is so.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import ConnectionError as NotThere

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TWEETS = ROOT / "benchmarks" / "corpus" / "tweets.txt"
NUM_TWEETS, KILL_AFTER, EVERY_BROKEN = 3000, 600, 500
PATIENCE_S = 240.0
PENSTOCK = str(Path(sys.executable).with_name("penstock"))


def main() -> int:
    """Run the demo; returns the exit status."""
    with tempfile.TemporaryDirectory() as name, redis_server(Path(name)) as url:
        folder = Path(name)
        spec = folder / "stream.yaml"
        spec.write_text((HERE / "stream.yaml").read_text().replace("redis://127.0.0.1:6379/0", url))
        client: Any = Redis.from_url(url)
        num_broken = produce(client)
        print(f"producer: {NUM_TWEETS} tweets, {num_broken} of them broken")
        with (folder / "log").open("w+") as log:
            runners = [run(spec, log) for _ in range(2)]
            try:
                wait_for(client, KILL_AFTER)
                runners[0].kill()
                print(f"runner 1: killed after {client.xlen('sentiments')} answers")
                started = time.monotonic()
                wait_for(client, NUM_TWEETS)
                print(f"runner 2: the rest, in {time.monotonic() - started:.1f} s")
                runners[1].terminate()
                status = runners[1].wait(30)
            except BaseException:
                log.seek(0)
                sys.stderr.write(log.read())
                raise
            finally:
                for runner in runners:
                    runner.kill()
                    runner.wait()
        return consume(client, num_broken) | status


def produce(client: Any) -> int:
    """Send the tweets; returns how many of them are broken."""
    lines = TWEETS.read_text().splitlines()
    pipeline = client.pipeline()
    for number in range(NUM_TWEETS):
        tweet = {"id": number, "body": lines[number % len(lines)]}
        is_broken = number % EVERY_BROKEN == EVERY_BROKEN - 1
        value = '{"id": ' if is_broken else json.dumps(tweet)
        pipeline.xadd("tweets", {"value": value, "key": str(number)})
    pipeline.execute()
    return NUM_TWEETS // EVERY_BROKEN


def run(spec: Path, log: Any) -> subprocess.Popen[bytes]:
    """Start a runner."""
    command = [PENSTOCK, "stream", "run", str(spec)]
    return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)


def wait_for(client: Any, count: int) -> None:
    """Wait until so many tweets have an answer or a dead letter."""
    give_up = time.monotonic() + PATIENCE_S
    while client.xlen("sentiments") + client.xlen("tweets.dead") < count:
        if time.monotonic() > give_up:
            raise RuntimeError("the runners do not get done")
        time.sleep(0.05)


def consume(client: Any, num_broken: int) -> int:
    """Read what was answered, and check it; returns the exit status."""
    answers = [fields for _, fields in client.xrange("sentiments")]
    letters = [fields for _, fields in client.xrange("tweets.dead")]
    labels = Counter(json.loads(fields[b"value"])["label"] for fields in answers)
    told = ", ".join(f"{count} {label}" for label, count in labels.most_common())
    print(f"consumer: {len(answers)} answers: {told}")
    print(f"dead letters: {len(letters)}, such as: {letters[0][b'penstock-error'].decode()}")
    seen = {json.loads(fields[b"value"])["id"] for fields in answers}
    dead = {int(fields[b"key"]) for fields in letters}
    once = len(seen) == len(answers) and len(dead) == len(letters) == num_broken
    everything = seen | dead == set(range(NUM_TWEETS)) and not seen & dead
    print("each tweet has one effect" if once and everything else "NOT each tweet has one effect")
    return 0 if once and everything else 1


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """A Redis of the demo's own, on a free port; its URL."""
    binary = shutil.which("redis-server") or shutil.which("valkey-server")
    if binary is None:
        raise SystemExit("no redis-server here: apt-get install redis-server")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    server = subprocess.Popen([*command, "--dir", str(folder)], stdout=subprocess.DEVNULL)
    url = f"redis://127.0.0.1:{port}/0"
    try:
        client: Any = Redis.from_url(url)
        for _ in range(200):
            try:
                client.ping()
                break
            except NotThere:
                time.sleep(0.05)
        yield url
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    sys.exit(main())
