"""patiently: the same step again, with back-off, where what failed may pass."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    stop_never,
    wait_random_exponential,
)

from penstock.core.errors import PenstockError
from penstock.telemetry.stream_stats import StreamStats

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]

_log: Final = logging.getLogger("penstock.stream")


class BackOff(msgspec.Struct, frozen=True):
    """How long to wait between two attempts: up to twice as long each time, by chance.

    Attributes:
        initial_s: the most before the second attempt, in seconds.
        max_s: the most before any, in seconds.
    """

    initial_s: float = 0.1
    max_s: float = 10.0


class Patience:
    """Tries steps of a stream again.

    Args:
        stats: where retries are counted.
        back_off: how long to wait.
        sleep: waits; a test's own, or one that a stop cuts short.
    """

    def __init__(self, stats: StreamStats, back_off: BackOff, sleep: Sleep = asyncio.sleep) -> None:
        self._stats = stats
        self._wait = wait_random_exponential(back_off.initial_s, back_off.max_s)
        self._sleep = sleep

    async def __call__(
        self,
        step: str,
        call: Callable[[], Awaitable[T]],
        *,
        may_pass: Callable[[BaseException], bool] | None = None,
        attempts: int | None = None,
    ) -> T:
        """Call until it succeeds.

        Args:
            step: what metrics and the log call it.
            call: makes one attempt.
            may_pass: whether to try again after this error; None: where it says ``retryable``.
            attempts: the most there are; None: as many as it takes.

        Raises:
            PenstockError: what the last attempt raised.
        """
        failed: list[PenstockError] = []
        try:
            return await call()  # by itself: most succeed, and tenacity's own part is no small one
        except PenstockError as err:
            failed.append(err)

        async def attempt() -> T:  # the first is the one that has failed
            if failed:
                raise failed.pop()
            return await call()

        retrying = AsyncRetrying(
            sleep=self._sleep,
            stop=stop_never if attempts is None else stop_after_attempt(attempts),
            wait=self._wait,
            retry=retry_if_exception(may_pass or is_retryable),
            before_sleep=lambda state: self._tell(step, state),
            reraise=True,
        )
        return await retrying(attempt)

    def _tell(self, step: str, state: RetryCallState) -> None:
        self._stats.retried(step)
        number = state.attempt_number
        if number & (number - 1) == 0:  # the 1st, 2nd, 4th, 8th: a long outage fills no log
            error = state.outcome.exception() if state.outcome is not None else None
            _log.warning(
                "stream '%s': %s failed (attempt %d) and is tried again: %s",
                self._stats.name,
                step,
                number,
                getattr(error, "message", error),
            )


def is_retryable(error: BaseException) -> bool:
    """Whether an error of ours says that it may pass."""
    return isinstance(error, PenstockError) and error.retryable
