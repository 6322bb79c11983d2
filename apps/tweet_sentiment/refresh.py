"""RefreshDesk: predicts ranges of authors' tweets in the background, a few at a time."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from apps.tweet_sentiment.service import Answer, SentimentService
from apps.tweet_sentiment.sources.source import (
    SourceError,
    SourceRateLimited,
    SourceTimeout,
    SourceUnavailable,
    Tweet,
    Window,
)
from penstock import PenstockError

_log = logging.getLogger("tweet_sentiment.refresh")

State = Literal["queued", "running", "waiting", "done", "failed"]
Sleep = Callable[[float], Awaitable[None]]
_RETRIES = 3
_FIRST_PAUSE_S = 1.0


@dataclass
class RefreshJob:
    """One refresh and how far it is.

    Attributes:
        id: its name in the API.
        author, window, limit: what is asked for.
        state: ``waiting``: the source asked for a pause.
        seen, answered, refused: tweets so far.
        resumes_s: when it goes on, in seconds since 1970; None: it does not wait.
        error: why it failed, for people.
    """

    id: str
    author: str
    window: Window
    limit: int
    state: State = "queued"
    seen: int = 0
    answered: int = 0
    refused: int = 0
    resumes_s: float | None = None
    error: str | None = None


class DeskFull(Exception):
    """Too many refreshes wait already."""


class RefreshDesk:
    """Takes refreshes and works on them.

    Args:
        service: predicts and counts.
        workers: refreshes at a time.
        max_waiting: refreshes that may wait.
        max_kept: finished refreshes whose progress can still be asked.
        sleep, now: the clock.

    Concurrency: one event loop's thread; ``close`` ends its tasks.
    """

    def __init__(
        self,
        service: SentimentService,
        *,
        workers: int = 2,
        max_waiting: int = 100,
        max_kept: int = 1000,
        sleep: Sleep = asyncio.sleep,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._service = service
        self._queue: asyncio.Queue[RefreshJob] = asyncio.Queue(max_waiting)
        self._jobs: dict[str, RefreshJob] = {}
        self._num_workers = workers
        self._max_kept = max_kept + max_waiting + workers
        self._sleep = sleep
        self._now = now
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to work."""
        names = [f"refresh {number}" for number in range(self._num_workers)]
        self._tasks = [asyncio.create_task(self._work(), name=name) for name in names]

    def submit(self, author: str, window: Window, limit: int) -> RefreshJob:
        """Take a refresh; of one that is under way for the same author and time, that one.

        Raises:
            DeskFull: too many wait.
        """
        for job in self._jobs.values():
            same = (job.author.lower(), job.window) == (author.lower(), window)
            if same and job.state not in ("done", "failed"):
                return job
        job = RefreshJob(uuid.uuid4().hex, author, window, limit)
        try:
            self._queue.put_nowait(job)
        except asyncio.QueueFull:
            raise DeskFull from None
        self._jobs[job.id] = job
        while len(self._jobs) > self._max_kept:
            del self._jobs[next(iter(self._jobs))]
        return job

    def get(self, job_id: str) -> RefreshJob | None:
        """A refresh by its id; None: never heard of, or long over."""
        return self._jobs.get(job_id)

    async def settle(self) -> None:
        """Return when nothing waits and nothing runs."""
        await self._queue.join()

    async def close(self) -> None:
        """Stop working; what is predicted by now stays."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            job = await self._queue.get()
            try:
                await self._refresh(job)
            except (SourceError, PenstockError) as err:
                job.state, job.error = "failed", _for_people(err)
                _log.warning("refresh=%s author=%s failed: %s", job.id, job.author, err)
            except Exception:  # noqa: BLE001 - one job's bug must not end the desk
                job.state, job.error = "failed", "an unexpected error; the log has it"
                _log.exception("refresh=%s author=%s failed", job.id, job.author)
            finally:
                self._queue.task_done()

    async def _refresh(self, job: RefreshJob) -> None:
        pages = self._service.source.pages(job.author, job.window, job.limit)
        job.state = "running"
        while (page := await self._retried(job, pages.next)) is not None:
            await self._predict(job, page)
        job.state = "done"
        _log.info("refresh=%s author=%s done tweets=%d", job.id, job.author, job.seen)

    async def _predict(self, job: RefreshJob, page: list[Tweet]) -> None:
        outcomes = await self._service.of_tweets(page, job.id)
        job.seen += len(page)
        answered = sum(isinstance(outcome, Answer) for outcome in outcomes)
        job.answered += answered
        job.refused += len(page) - answered

    async def _retried(
        self, job: RefreshJob, ask: Callable[[], Awaitable[list[Tweet] | None]]
    ) -> list[Tweet] | None:
        """The next page, however often the source asks for a pause; a few tries if it fails."""
        pause_s = _FIRST_PAUSE_S
        tries = 0
        while True:
            try:
                return await ask()
            except SourceRateLimited as err:
                await self._wait(job, err.retry_after_s or pause_s)
            except (SourceTimeout, SourceUnavailable):
                tries += 1
                if tries > _RETRIES:
                    raise
                await self._wait(job, pause_s)
                pause_s *= 2

    async def _wait(self, job: RefreshJob, seconds: float) -> None:
        job.state, job.resumes_s = "waiting", self._now() + seconds
        await self._sleep(seconds)
        job.state, job.resumes_s = "running", None


def _for_people(err: SourceError | PenstockError) -> str:
    return "the model could not answer" if isinstance(err, PenstockError) else str(err)
