"""BoundedCalls: calls into a library that may wait for ever, on a thread that may be left."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, TypeVar

T = TypeVar("T")


class SilenceError(OSError):
    """What was called has not come back in time."""


class BoundedCalls:
    """Makes calls one after the other, each within a time.

    For drivers that know no such time themselves. One that does not come back is left alone, with
    its thread: whatever is called later waits behind it, and is made once it does come back. The
    thread keeps no process alive.

    Args:
        name: the thread's.
        limit_s: how long a call may take, in seconds.
    """

    def __init__(self, name: str, limit_s: float) -> None:
        self._limit_s = limit_s
        self._is_left = self._is_closed = False
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = (
            queue.SimpleQueue()
        )
        threading.Thread(target=self._make, name=name, daemon=True).start()

    def call(self, work: Callable[[], T]) -> T:
        """What a call brings. Blocks; one thread at a time.

        Raises:
            SilenceError: it has not come back in time, or an earlier one has not; or it is closed.
        """
        if self._is_closed:
            raise SilenceError("the connection is closed")
        if self._is_left:
            raise SilenceError(f"said nothing for {self._limit_s:g} s")
        made: Future[T] = Future()
        self._calls.put((work, made))
        try:
            wait([made], self._limit_s)
        finally:
            self._is_left = not made.done()
        if self._is_left:
            raise SilenceError(f"said nothing for {self._limit_s:g} s")
        return made.result()

    def give_back(self, work: Callable[[], None]) -> None:
        """Make a call that frees what others have used. Where one of those has not come back it is
        made after it, on its thread, and not waited for.

        Raises:
            SilenceError: see ``call``.
        """
        if self._is_left and not self._is_closed:
            self._calls.put((work, Future()))
        else:
            self.call(work)

    def close(self, last: Callable[[], None]) -> None:
        """Make a last call, see ``give_back``. Once is enough.

        Raises:
            SilenceError: it has not come back in time.
        """
        if self._is_closed:
            return
        try:
            self.give_back(last)
        finally:
            self._is_closed = True
            self._calls.put(None)

    def _make(self) -> None:
        while (task := self._calls.get()) is not None:
            work, made = task
            try:
                made.set_result(work())
            except BaseException as err:  # noqa: BLE001  # it is raised where it is waited for
                made.set_exception(err)
            del task, work, made  # what they hold may be large, and the next may be long in coming
