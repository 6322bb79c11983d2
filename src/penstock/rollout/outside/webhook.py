"""WebhookSender: sends a rollout's events to a URL, in order; nothing ever waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeAlias

import msgspec

from penstock.core.errors import PenstockError, Unsupported
from penstock.rollout.events import RolloutEvent
from penstock.rollout.outside.http_call import HttpAnswer, HttpCall, call, check_url
from penstock.rollout.spec import Webhook

_log: Final = logging.getLogger("penstock.rollout")

_MAX_WAITING = 200
_RETRIED = frozenset({408, 425, 429})

Post: TypeAlias = "Callable[[HttpCall], Awaitable[HttpAnswer]]"


class WebhookOptions(msgspec.Struct, frozen=True):
    """How a sender waits between attempts.

    Attributes:
        initial_backoff_s: after the first attempt that failed, in seconds; it doubles.
        max_backoff_s: the longest wait, in seconds.
    """

    initial_backoff_s: float = 0.5
    max_backoff_s: float = 30.0


class WebhookSender:
    """Posts events as JSON, one after the other.

    Law: an event is sent after those before it have been, or have been given up; one is given up
    after ``webhook.attempts`` attempts, or at once where the other side refuses it for good. What
    waits is bounded; beyond that the oldest is dropped. Each of these is a line in the log.

    Args:
        webhook: where to.
        options: how long to wait.
        post: makes the call; None: over HTTP.

    Attributes:
        done: the id of the last event that was sent, given up or dropped; "": none was.
        num_dropped: how many were given up or dropped.

    Raises:
        ConfigError: the URL is none of HTTP.

    Concurrency: the event loop's thread only. The constructor starts nothing.
    """

    def __init__(
        self, webhook: Webhook, options: WebhookOptions | None = None, post: Post | None = None
    ) -> None:
        check_url(webhook.url, "webhook.url")
        self.done = ""
        self.num_dropped = 0
        self._webhook = webhook
        self._options = options or WebhookOptions()
        self._post = post or call
        self._waiting: deque[RolloutEvent] = deque()
        self._runner: asyncio.Task[None] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is under way."""
        return self._runner is None or self._runner.done()

    def offer(self, events: Iterable[RolloutEvent]) -> None:
        """Send these after the others; returns at once."""
        for event in events:
            if len(self._waiting) >= _MAX_WAITING:
                self._give_up(self._waiting.popleft(), "too many wait")
            self._waiting.append(event)
        if self._waiting and self.is_idle:
            self._runner = asyncio.create_task(self._run(), name="webhook")

    async def wait_idle(self) -> None:
        """Return when nothing waits any more."""
        if self._runner is not None:
            await asyncio.wait([self._runner])

    async def close(self) -> None:
        """Send no more; what waits is left to whoever goes on with the rollout."""
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)

    async def _run(self) -> None:
        while self._waiting:
            event = self._waiting.popleft()
            try:
                await self._send(event)
            except PenstockError as err:
                self._give_up(event, err.message)
            self.done = event.id

    async def _send(self, event: RolloutEvent) -> None:
        """Post one event, again and again where that may help.

        Raises:
            PenstockError: what the last attempt came to.
        """
        from tenacity import (
            AsyncRetrying,
            retry_if_exception,
            stop_after_attempt,
            wait_exponential,
            wait_random,
        )

        first_s = self._options.initial_backoff_s
        retrying = AsyncRetrying(
            stop=stop_after_attempt(self._webhook.attempts),
            wait=wait_exponential(multiplier=first_s, max=self._options.max_backoff_s)
            + wait_random(0, first_s / 2),
            retry=retry_if_exception(lambda err: isinstance(err, PenstockError) and err.retryable),
            reraise=True,
        )
        await retrying(self._attempt, event)

    async def _attempt(self, event: RolloutEvent) -> None:
        headers = {"Content-Type": "application/json", "X-Penstock-Event": event.id}
        body = msgspec.json.encode(event)
        asked = HttpCall(self._webhook.url, self._webhook.timeout_s, "POST", body, headers)
        answer = await self._post(asked)
        if not 200 <= answer.status < 300:
            raise _Refused(answer.status)

    def _give_up(self, event: RolloutEvent, why: str) -> None:
        self.num_dropped += 1
        _log.error(
            "the webhook was not told that the rollout of '%s' is %s: %s",
            event.model,
            event.to,
            why,
            extra={"event": event.id, "model": event.model, "rollout": event.rollout},
        )


class _Refused(Unsupported):
    """The other side answers, and takes the event not."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP status {status}")
        self.retryable = status >= 500 or status in _RETRIED
