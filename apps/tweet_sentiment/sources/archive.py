"""ArchiveSource: tweets from a file or folder: the embedded default.

Reads JSON Lines (``{"id", "author", "createdAt", "text"}`` a line) and the folder of an X data
archive (``data/tweets.js`` with ``data/account.js``, as X hands them out).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from apps.tweet_sentiment.sources.source import (
    AuthorNotFound,
    Pages,
    Tweet,
    TweetNotFound,
    Window,
)

_PAGE = 100
_X_TIME = "%a %b %d %H:%M:%S %z %Y"


class ArchiveError(ValueError):
    """The archive cannot be read; the message names file and line."""


class ArchivedTweet(msgspec.Struct, rename="camel"):
    """A line of a JSON Lines archive; unknown fields are passed over."""

    id: str
    author: str
    created_at: datetime
    text: str


class _ListPages:
    """A list, cut into pages."""

    def __init__(self, tweets: list[Tweet]) -> None:
        self._tweets = tweets

    async def next(self) -> list[Tweet] | None:
        page, self._tweets = self._tweets[:_PAGE], self._tweets[_PAGE:]
        return page or None


class _NoPages:
    """What is answered for an author who is not there."""

    def __init__(self, author: str) -> None:
        self._author = author

    async def next(self) -> list[Tweet] | None:
        raise AuthorNotFound(f"the archive holds no author '{self._author}'")


class ArchiveSource:
    """Tweets held in memory.

    Args:
        tweets: all of them, in any order; of two with one id the last counts.
    """

    name = "archive"

    def __init__(self, tweets: Iterable[Tweet]) -> None:
        self._tweets = {tweet.id: tweet for tweet in tweets}
        self._by_author: dict[str, list[Tweet]] = {}
        for tweet in sorted(self._tweets.values(), key=_newest_first):
            self._by_author.setdefault(tweet.author.lower(), []).append(tweet)

    def __len__(self) -> int:
        """How many tweets there are."""
        return len(self._tweets)

    async def tweet(self, tweet_id: str) -> Tweet:
        """One tweet by its id."""
        tweet = self._tweets.get(tweet_id)
        if tweet is None:
            raise TweetNotFound(f"the archive holds no tweet {tweet_id}")
        return tweet

    def pages(self, author: str, window: Window, limit: int) -> Pages:
        """An author's tweets of a stretch of time, newest first, in pages."""
        tweets = self._by_author.get(author.lower())
        if tweets is None:
            return _NoPages(author)
        wanted = [t for t in tweets if window.since_s <= t.created_s < window.until_s][:limit]
        return _ListPages(wanted)

    def newest(self, count: int) -> list[Tweet]:
        """The newest tweets."""
        return sorted(self._tweets.values(), key=_newest_first)[:count]

    def authors(self) -> list[str]:
        """The handles in it, in the alphabet's order."""
        return sorted(tweets[0].author for tweets in self._by_author.values())

    async def close(self) -> None:
        """Nothing to give back."""


def open_archive(path: Path) -> ArchiveSource:
    """Read an archive; blocks.

    Args:
        path: a JSON Lines file, or the folder of an X data archive.

    Raises:
        ArchiveError: it is neither, or a part of it is wrong.
    """
    try:
        tweets = list(_x_archive(path) if path.is_dir() else _lines(path))
    except OSError as err:
        raise ArchiveError(f"{path}: {(err.strerror or 'cannot be read').lower()}") from err
    return ArchiveSource(tweets)


def _lines(path: Path) -> Iterator[Tweet]:
    decoder = msgspec.json.Decoder(ArchivedTweet)
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as err:
                raise ArchiveError(f"{path}, line {number}: {err}") from err
            yield Tweet(row.id, row.author, int(row.created_at.timestamp()), row.text)


def _x_archive(folder: Path) -> Iterator[Tweet]:
    data = folder / "data" if (folder / "data").is_dir() else folder
    try:
        author = _javascript(data / "account.js")[0]["account"]["username"]
        files = sorted([*data.glob("tweets.js"), *data.glob("tweets-part*.js")])
        for entry in (entry for file in files for entry in _javascript(file)):
            tweet = entry["tweet"]
            created = datetime.strptime(tweet["created_at"], _X_TIME)  # noqa: DTZ007 - has %z
            text = tweet.get("full_text") or tweet.get("text", "")
            yield Tweet(str(tweet["id_str"]), author, int(created.timestamp()), text)
    except (KeyError, IndexError, TypeError, ValueError) as err:
        raise ArchiveError(f"{folder}: not an X data archive as X hands it out ({err!r})") from err


def _javascript(path: Path) -> list[dict[str, Any]]:
    """The list in ``window.YTD.tweets.part0 = [...]``."""
    _, _, text = path.read_text("utf-8").partition("=")
    rows: list[dict[str, Any]] = json.loads(text)
    return rows


def _newest_first(tweet: Tweet) -> tuple[int, str]:
    return -tweet.created_s, tweet.id
