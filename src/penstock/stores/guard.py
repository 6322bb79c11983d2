"""Guard: a store that is slow or down costs its caller a bounded time, then nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

from penstock.core.clock import Clock
from penstock.core.eager import in_a_task
from penstock.core.errors import StoreError, StoreFault
from penstock.stores.breaker import CLOSED, BreakerOptions, admit, fail
from penstock.stores.patience import Patience
from penstock.telemetry.store_stats import StoreStats

_log = logging.getLogger("penstock.stores")

T = TypeVar("T")


class Guard:
    """Time-out, circuit breaker, metric and log line around one kind of call.

    Args:
        operation: ``read`` or ``write``: what is counted, and which numbers of ``stats``.
        timeout_s: the longest a call may take, in seconds in which the event loop is awake.
        options: the breaker's.
        stats: where calls are counted.
        clock: the time.
    """

    def __init__(
        self,
        operation: Literal["read", "write"],
        *,
        timeout_s: float,
        options: BreakerOptions,
        stats: StoreStats,
        clock: Clock,
    ) -> None:
        self._operation = operation
        self._timeout_s = timeout_s
        self._options = options
        self._stats = stats
        self._now_ns = clock.monotonic_ns
        self._state = CLOSED
        self._observe = (stats.read_ns if operation == "read" else stats.write_ns).observe

    @property
    def wait_s(self) -> float:
        """Seconds until a call would be let through; 0: now."""
        return max(0, self._state.shut_until_ns - self._now_ns()) / 1e9

    async def call(self, operation: Callable[[], Awaitable[T]], *, force: bool = False) -> T:
        """Do ``operation`` within the time.

        Args:
            operation: one call of a Backend.
            force: ask even while the breaker is open.

        Raises:
            StoreError: it failed, took too long, or was not tried (fault ``skipped``).
        """
        await in_a_task()  # for the timeout
        started_ns = self._now_ns()
        state = admit(self._state, started_ns, self._options)
        if state is None:
            if not force:
                raise StoreError("the circuit breaker is open", fault=StoreFault.SKIPPED)
        else:
            self._state = state
        try:
            async with asyncio.timeout(None) as limit:
                patience = Patience(limit, self._timeout_s)
                try:
                    result = await operation()
                finally:
                    patience.cancel()
        except TimeoutError as err:
            late = StoreError(f"no answer within {self._timeout_s} s", fault=StoreFault.TIMEOUT)
            self._failed(late, started_ns)
            raise late from err
        except StoreError as err:
            self._failed(err, started_ns)
            raise
        except Exception as err:
            bug = StoreError(f"{type(err).__name__}: {err}", fault=StoreFault.GARBAGE)
            self._failed(bug, started_ns)
            raise bug from err
        self._observe(self._now_ns() - started_ns)
        if self._state is not CLOSED:
            self._succeeded()
        return result

    def _failed(self, error: StoreError, started_ns: int) -> None:
        before = self._state
        self._state = fail(before, started_ns, self._now_ns(), self._options)
        self._stats.failed(self._operation, error.fault)
        if self._state.trips and not before.trips:
            self._stats.is_open[self._operation] = True
            _log.warning(
                "store '%s': %ss go on without it: %s (%s)",
                self._stats.name,
                self._operation,
                error.message,
                error.fault,
            )

    def _succeeded(self) -> None:
        if self._state.trips:
            self._stats.is_open[self._operation] = False
            _log.info("store '%s': %ss work again", self._stats.name, self._operation)
        self._state = CLOSED
