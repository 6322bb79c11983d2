"""Patience: how a job tries again what may succeed later."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import msgspec

from penstock.core.errors import Cancelled, PenstockError, may_pass

T = TypeVar("T")

_WORTH_A_LOOK = (PenstockError, MemoryError, OSError)


class Patience(msgspec.Struct, frozen=True):
    """How often and when. Picklable.

    Attributes:
        attempts: how often something is tried, >= 1.
        first_wait_s: the wait before the second attempt, in seconds; each further one is twice as
            long.
        longest_wait_s: the longest wait.
    """

    attempts: int = 5
    first_wait_s: float = 0.2
    longest_wait_s: float = 30.0

    def wait_s(self, attempt: int) -> float:
        """The wait after a failed attempt, in seconds; the first is number 1."""
        return min(self.longest_wait_s, self.first_wait_s * 2.0 ** min(attempt - 1, 60))

    def call(self, work: Callable[[], T], stop: threading.Event) -> T:
        """Do something, again where it may succeed then.

        Args:
            work: what to do.
            stop: ends the waiting.

        Raises:
            Cancelled: it was stopped while it waited.
            PenstockError, MemoryError, OSError: what the last attempt raised.
        """
        try:
            return work()
        except _WORTH_A_LOOK as err:
            if self.attempts <= 1 or not may_pass(err):
                raise
            return self._retry(work, err, stop)

    def _retry(self, work: Callable[[], T], first: Exception, stop: threading.Event) -> T:
        # Imported here: most jobs never see a failure that may pass.
        from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

        made = [first]

        def attempt() -> T:
            if made:
                raise made.pop()  # the attempt that was made before tenacity came in
            return work()

        def wait(seconds: float) -> None:
            if stop.wait(seconds):
                raise Cancelled("the job was stopped")

        retrying = Retrying(
            sleep=wait,
            stop=stop_after_attempt(self.attempts),
            wait=wait_exponential(self.first_wait_s, max=self.longest_wait_s),
            retry=retry_if_exception(may_pass),
            reraise=True,
        )
        return retrying(attempt)
