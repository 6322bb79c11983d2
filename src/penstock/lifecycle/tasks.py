"""Tasks: the work in flight of one owner, so that none is orphaned and none fails unseen."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Final

_log: Final = logging.getLogger("penstock.lifecycle")


class Tasks:
    """Starts tasks, logs what breaks them, and ends them all.

    Concurrency: the event loop's thread only.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[object, object, None], name: str) -> None:
        """Start ``work`` on the running loop; what it raises is logged."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._reap)

    async def wait_idle(self, timeout_s: float) -> bool:
        """Wait until no task is left; False when the time was over first."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._tasks:
                    await asyncio.wait(self._tasks)
        except TimeoutError:
            return False
        return True

    async def cancel_all(self) -> None:
        """Cancel what still runs, by name in the log, and wait until it is gone."""
        _log.error("cancelled at the end: %s", [task.get_name() for task in self._tasks])
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _reap(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("task '%s' broke", task.get_name(), exc_info=error)


def has_running_loop() -> bool:
    """Whether a task could be started here."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
