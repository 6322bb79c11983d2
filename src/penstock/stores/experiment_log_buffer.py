"""ExposureBuffer: exposures are written after the answer is out: bounded, batched, told if lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter, deque
from itertools import islice
from typing import Annotated

import msgspec
from msgspec import Meta

from penstock.core.errors import StoreError, StoreFault
from penstock.stores.experiment_log import ExperimentLog, Exposure

_log = logging.getLogger("penstock.stores")

_OVERHEAD_BYTES = 300
"""About what the objects of an exposure take beside their text."""

_NO_ROWS_FAULT = frozenset(StoreFault) - {StoreFault.REFUSED, StoreFault.GARBAGE}
"""The store is down, slow or full, whatever is written."""


class ExposureBufferOptions(msgspec.Struct, frozen=True):
    """Bounds of an ``ExposureBuffer``.

    Attributes:
        max_bytes: what may wait.
        batch_rows: the most that is written at once.
        flush_s: the longest that an exposure waits while the store answers, in seconds: about
            what a killed process loses.
        retry_s: the pause after the store has failed, in seconds.
    """

    max_bytes: Annotated[int, Meta(ge=1)] = 8 * 1024**2
    batch_rows: Annotated[int, Meta(ge=1)] = 1000
    flush_s: Annotated[float, Meta(gt=0)] = 0.5
    retry_s: Annotated[float, Meta(gt=0)] = 1.0


def exposure_bytes(exposure: Exposure) -> int:
    """About the bytes of memory that an exposure takes while it waits."""
    return len(exposure.unit) + len(exposure.prediction_id) + _OVERHEAD_BYTES


class ExposureBuffer:
    """Keeps exposures until the log has them.

    Laws: never more than ``max_bytes`` wait; an exposure beyond that is dropped at once and
    counted, and the count is written with the next batch. While the log fails, what waits goes on
    waiting. An exposure that the log cannot take while it takes others is dropped and counted, too,
    and those behind it are written.

    Args:
        log: where they are written.
        options: the bounds.

    Concurrency: one event loop's thread. One task writes while something waits.
    """

    def __init__(self, log: ExperimentLog, options: ExposureBufferOptions | None = None) -> None:
        self._log = log
        self._options = options or ExposureBufferOptions()
        self._waiting: deque[Exposure] = deque()
        self._num_bytes = 0
        self._dropped: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None
        self._writer: asyncio.Task[None] | None = None
        self._is_failing = False
        self._has_refused = False

    @property
    def num_bytes(self) -> int:
        """About what waits, in bytes of memory."""
        return self._num_bytes

    def dropped(self, experiment: str) -> int:
        """Exposures of an experiment that were dropped and are not yet counted in the log."""
        return self._dropped[experiment]

    def put(self, exposure: Exposure) -> None:
        """Write an exposure soon; never blocks, never raises."""
        num_bytes = exposure_bytes(exposure)
        if self._num_bytes + num_bytes > self._options.max_bytes:
            if not self._dropped:
                _log.warning("exposures are dropped: the experiment log does not keep up")
            self._dropped[exposure.experiment] += 1
        else:
            self._waiting.append(exposure)
            self._num_bytes += num_bytes
        if self._timer is None and self._writer is None:
            self._start_in(self._options.flush_s)

    async def flush(self) -> None:
        """Write what waits now. Where the log fails it goes on waiting, and this returns."""
        if self._writer is not None:
            await asyncio.wait([self._writer])
        if self._writer is None:
            self._start()
        if self._writer is not None:
            await asyncio.wait([self._writer])

    async def close(self, timeout_s: float) -> int:
        """Write what waits, for the last time.

        Args:
            timeout_s: how long that may take, in seconds.

        Returns:
            how many exposures could not be written.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self.flush()
        self._cancel_timer()
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.wait([self._writer])
        self._cancel_timer()
        return len(self._waiting)

    def _start_in(self, delay_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._start)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self) -> None:
        self._cancel_timer()
        if self._waiting or self._dropped:
            self._writer = asyncio.get_running_loop().create_task(self._write(), name="exposures")

    async def _write(self) -> None:
        """Write what waits, and again later: what comes meanwhile, or what the log has refused."""
        delay_s, left = self._options.flush_s, len(self._waiting)
        try:
            while left > 0 or self._dropped:
                num_rows = max(0, min(left, self._options.batch_rows))
                await self._write_rows(num_rows)
                left -= num_rows
            self._tell_failing(is_failing=False)
        except Exception as err:  # noqa: BLE001  # whatever a log raises, exposures wait
            delay_s = self._options.retry_s
            self._tell_failing(is_failing=True, why=str(err) or repr(err))
        finally:
            self._writer = None
            if self._waiting or self._dropped:
                self._start_in(delay_s)

    async def _write_rows(self, num_rows: int) -> None:
        """Write the oldest; where some of them are at fault, all others.

        Raises:
            Exception: the log fails, whatever is written.
        """
        sizes = [num_rows]
        while sizes:
            size = sizes.pop()
            try:
                await self._write_batch(size)
            except Exception as err:
                if not size or (isinstance(err, StoreError) and err.fault in _NO_ROWS_FAULT):
                    raise
                if size == 1:
                    await self._refuse_oldest(err)
                else:
                    sizes += [size - size // 2, size // 2]

    async def _write_batch(self, num_rows: int) -> None:
        batch = list(islice(self._waiting, num_rows))
        dropped = self._dropped.copy()
        await self._log.expose(batch, dropped)
        for _ in batch:
            self._forget_oldest()
        self._dropped -= dropped

    async def _refuse_oldest(self, fault: Exception) -> None:
        """Drop the oldest, which the log did not take.

        Raises:
            Exception: it takes nothing else of that experiment either; then it is kept.
        """
        await self._log.expose([], {self._waiting[0].experiment: 0})
        exposure = self._forget_oldest()
        self._dropped[exposure.experiment] += 1
        if not self._has_refused:
            self._has_refused = True
            what = "an exposure of experiment '%s' cannot be written, and is dropped: %s; "
            _log.warning(what + "further ones are only counted", exposure.experiment, fault)

    def _forget_oldest(self) -> Exposure:
        exposure = self._waiting.popleft()
        self._num_bytes -= exposure_bytes(exposure)
        return exposure

    def _tell_failing(self, *, is_failing: bool, why: str = "") -> None:
        if is_failing and not self._is_failing:
            _log.warning("exposures wait for the experiment log: %s", why)
        elif self._is_failing and not is_failing:
            _log.info("the experiment log answers again")
        self._is_failing = is_failing
