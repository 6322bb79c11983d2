"""StageThreads: what runs one stage, or a few in a row, of many batches."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable

Step = Callable[[], None]


class StageThreads:
    """Threads that take steps from one line, first come, first served.

    The threads of an executor would keep the process alive until they are done; these end with it.

    Args:
        name: the threads'.
        count: how many there may be, >= 1.
    """

    def __init__(self, name: str, count: int) -> None:
        self._name = name
        self._count = count
        self._line: queue.SimpleQueue[Step | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def start(self, wanted: int) -> None:
        """See to it that so many threads run, or as many as there may be.

        Raises:
            RuntimeError: the system gives no further thread.

        Concurrency: one thread at a time.
        """
        while len(self._threads) < min(wanted, self._count):
            thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def put(self, step: Step) -> None:
        """Have a step taken. Any thread; never blocks."""
        self._line.put(step)

    def stop(self) -> None:
        """Have every thread end once the steps before are taken. Never blocks."""
        for _ in self._threads:
            self._line.put(None)

    def _work(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            while (step := self._line.get()) is not None:
                step()
                del step
