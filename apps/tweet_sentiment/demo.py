"""Start the service on its archive, ask it, stop it: ``python -m apps.tweet_sentiment.demo``.

Prints three inferences by URL, what a store hit and a miss cost, an author's trend, the top
authors and the page's address. Exits with 0 if every answer came and the service stopped cleanly.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from apps.tweet_sentiment.process import running
from apps.tweet_sentiment.settings import HERE
from apps.tweet_sentiment.sources.archive import ArchiveSource, open_archive
from apps.tweet_sentiment.sources.source import Tweet

_STYLES = {"positive": "green", "neutral": "bright_black", "negative": "red"}
_BLOCKS = "▁▂▃▄▅▆▇█"
_NUM_HITS = 50
_FRAME_DAYS = 60
_PATIENCE_S = 60.0


def main() -> int:
    """Run the demo; returns the exit status."""
    console, source = Console(width=100), open_archive(HERE / "archive" / "tweets.jsonl")
    with tempfile.TemporaryDirectory() as name, running(Path(name), **_settings(name)) as service:
        api, page = f"{service.url}/api/v1", f"{service.url}/"
        console.print(f"the page is at [bold]{page}[/], the API at [bold]{page}docs[/]")
        console.print(_inferences(api, source.newest(3)))
        console.print(_hit_and_miss(api, source.newest(4)[3]))
        _refresh(api, source)
        frame = _frame(source)
        top = _get(f"{api}/authors/top?{frame}&sort=positive&minCount=5&limit=5")["authors"]
        console.print(_top(top))
        console.print(_trend(_get(f"{api}/authors/{top[0]['author']}/sentiment?{frame}")))
        status = service.stop()
    console.print(f"\nstopped with status {status}; to stay: python -m apps.tweet_sentiment")
    return status


def _settings(folder: str) -> dict[str, object]:
    """A store of its own, nothing predicted before it is asked, and each hit from the store."""
    store = f"sqlite:///{Path(folder) / 'store.db'}"
    return {"store_url": store, "redis_url": "", "predict_on_start": 0, "max_recent": 0}


def _inferences(api: str, tweets: list[Tweet]) -> Table:
    table = Table("tweet", "sentiment", "score", title="three tweets by their URL", expand=True)
    for tweet in tweets:
        answer = _infer(api, tweet)
        style = _STYLES[answer["label"]]
        table.add_row(answer["tweet"]["text"], f"[{style}]{answer['label']}[/]", _signed(answer))
    return table


def _hit_and_miss(api: str, tweet: Tweet) -> str:
    started = time.perf_counter()
    _infer(api, tweet)
    miss_ms = (time.perf_counter() - started) * 1e3
    took = []
    for _ in range(_NUM_HITS):
        started = time.perf_counter()
        _infer(api, tweet)
        took.append((time.perf_counter() - started) * 1e3)
    return (
        f"computed in [bold]{miss_ms:.1f} ms[/], then from the store in "
        f"[bold]{sorted(took)[_NUM_HITS // 2]:.1f} ms[/] (median of {_NUM_HITS})\n"
    )


def _refresh(api: str, source: ArchiveSource) -> None:
    """Predict the whole archive, as ``POST /refresh`` does for one author."""
    jobs = [
        _get(f"{api}/refresh", {"author": author, "since": "2020-01-01", "until": "2100-01-01"})
        for author in source.authors()
    ]
    give_up = time.monotonic() + _PATIENCE_S
    for job in jobs:
        while (state := _get(f"{api}/refresh/{job['id']}")["state"]) != "done":
            if state == "failed" or time.monotonic() > give_up:
                raise RuntimeError(f"the tweets of {job['author']} could not be predicted")
            time.sleep(0.05)


def _top(authors: list[dict[str, Any]]) -> Table:
    table = Table("author", "tweets", "mean", title="the most positive authors")
    for row in authors:
        table.add_row(row["author"], str(row["counts"]["total"]), f"{row['meanScore']:+.2f}")
    return table


def _trend(body: dict[str, Any]) -> str:
    means = [bucket["meanScore"] for bucket in body["buckets"]]
    bars = "".join(_BLOCKS[min(7, int((mean + 1) * 4))] for mean in means)
    return f"\n{body['author']}, day by day: [bold]{bars}[/]  ({body['trend']['direction']})"


def _frame(source: ArchiveSource) -> str:
    last = source.newest(1)[0].created_s
    times = (
        (name, time.gmtime(at)) for name, at in (("since", last - 60 * 86400), ("until", last))
    )
    return urllib.parse.urlencode({n: time.strftime("%Y-%m-%dT%H:%M:%SZ", at) for n, at in times})


def _infer(api: str, tweet: Tweet) -> Any:
    url = urllib.parse.quote(f"https://x.com/{tweet.author}/status/{tweet.id}", safe="")
    return _get(f"{api}/inference?tweetUrl={url}")


def _get(url: str, body: object = None) -> Any:
    content = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, content, headers)  # noqa: S310 - our own URL
    with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310 - our own URL
        return json.load(reply)


def _signed(answer: dict[str, Any]) -> str:
    return f"{answer['score']:+.2f}"


if __name__ == "__main__":
    sys.exit(main())
