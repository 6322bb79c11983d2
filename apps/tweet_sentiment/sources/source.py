"""TweetSource: where tweets come from, behind one protocol, with one typed error per mishap."""

from __future__ import annotations

from typing import ClassVar, NamedTuple, Protocol


class Tweet(NamedTuple):
    """One tweet.

    Attributes:
        id: its number, as X writes it: decimal digits.
        author: its author's handle, in the letters the author chose, without ``@``.
        created_s: when it was written, in whole seconds since 1970, UTC.
        text: what it says.
    """

    id: str
    author: str
    created_s: int
    text: str


class Window(NamedTuple):
    """A stretch of time, in whole seconds since 1970, UTC.

    Attributes:
        since_s: its first second.
        until_s: the second after its last.
    """

    since_s: int
    until_s: int


class SourceError(Exception):
    """A tweet could not be had. The message is for people and holds no credential.

    Attributes:
        kind: what happened, in one word of the API's; a label of the metrics.
        retry_after_s: seconds after which the same request may work; None: no advice.
    """

    kind: ClassVar[str] = "source-failed"

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TweetNotFound(SourceError):
    """No such tweet: it never was, or it was deleted."""

    kind = "tweet-not-found"


class TweetProtected(SourceError):
    """Its author shows it to followers only."""

    kind = "tweet-protected"


class AuthorNotFound(SourceError):
    """No such author."""

    kind = "author-not-found"


class AuthorSuspended(SourceError):
    """X has suspended the author's account."""

    kind = "author-suspended"


class SourceRateLimited(SourceError):
    """The source asks us to come back later."""

    kind = "source-rate-limited"


class SourceTimeout(SourceError):
    """The source did not answer in time."""

    kind = "source-timeout"


class SourceUnavailable(SourceError):
    """The source answers with a fault of its own, or nobody answers there."""

    kind = "source-unavailable"


class SourceDenied(SourceError):
    """The source does not accept our credential."""

    kind = "source-denied"


class Pages(Protocol):
    """Tweets, page by page."""

    async def next(self) -> list[Tweet] | None:
        """The next page; None: that was all. After a SourceError, the same page again."""
        ...


class TweetSource(Protocol):
    """Gives tweets by id and by author.

    Raises, everywhere: SourceError.

    Concurrency: one event loop; any number of calls at once; never blocks it.
    """

    @property
    def name(self) -> str:
        """``archive`` or ``x``; a label of the metrics."""
        ...

    async def tweet(self, tweet_id: str) -> Tweet:
        """One tweet by its id."""
        ...

    def pages(self, author: str, window: Window, limit: int) -> Pages:
        """An author's tweets of a stretch of time, newest first.

        Args:
            author: a handle, in any letters, without ``@``.
            window: when they were written.
            limit: at most so many, >= 1.
        """
        ...

    def authors(self) -> list[str]:
        """The handles it knows of by itself; []: it must be asked by name."""
        ...

    async def close(self) -> None:
        """Give connections back."""
        ...
