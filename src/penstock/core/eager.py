"""Start a coroutine at once, and make a task of it only where it has to wait.

What ``asyncio.Task(..., eager_start=True)`` does from Python 3.12 on. A request that is answered
without waiting then costs no task and no turn of the event loop: docs/decisions/0017.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")


def start(
    coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop
) -> asyncio.Task[T] | None:
    """Run a coroutine up to its first wait; the rest is a task.

    Until that wait there is no current task: what needs one (``asyncio.timeout``) waits for
    ``asyncio.sleep(0)`` first, see ``in_a_task``.

    Returns:
        the task that goes on with it; None: it has ended already.

    Raises:
        whatever it raises before its first wait.

    Concurrency: the event loop's thread, outside of any task.
    """
    context = copy_context()
    try:
        waits_for = context.run(coroutine.send, None)
    except StopIteration:
        return None
    return loop.create_task(_Rest(coroutine, waits_for), context=context)


async def in_a_task() -> None:
    """See to it that the coroutine that awaits this runs in a task from here on."""
    if asyncio.current_task() is None:
        await asyncio.sleep(0)


class _Rest(Coroutine[Any, Any, T]):
    """A coroutine that is waiting already, as a task takes it: its first step is that wait."""

    __slots__ = ("_coroutine", "_waits_for")

    def __init__(self, coroutine: Coroutine[Any, Any, T], waits_for: object) -> None:
        self._coroutine = coroutine
        self._waits_for: object | None = waits_for

    def send(self, value: Any) -> Any:
        """Go on; the first time, say what it waits for."""
        if self._waits_for is not None:
            waits_for, self._waits_for = self._waits_for, None
            return waits_for
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        """Go on with an error: it is cancelled, and so is what it waits for."""
        waits_for, self._waits_for = self._waits_for, None
        if isinstance(waits_for, asyncio.Future):
            waits_for.cancel()
        return self._coroutine.throw(*error)

    def close(self) -> None:
        """End it."""
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, T]:
        return self._coroutine.__await__()
