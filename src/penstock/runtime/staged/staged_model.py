"""StagedModel: the copies of a Python model and the threads that their stages share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from penstock.core.ids import ServableId
from penstock.runtime.instance import Execution, Work
from penstock.runtime.python_runtime import PythonExecutable
from penstock.runtime.staged.passage import Passage, legs_of
from penstock.runtime.staged.stage_threads import StageThreads

_log = logging.getLogger("penstock.runtime")

_CLOSE_TIMEOUT_S = 10.0


class _Copy:
    """One copy and the way through it.

    Attributes:
        under_way: batches that are somewhere on it.
    """

    def __init__(
        self, executable: PythonExecutable, apart: dict[str, StageThreads], own: StageThreads
    ) -> None:
        self.executable = executable
        self.legs = legs_of(executable.stages, apart, own)
        self.under_way = 0


class StagedModel:
    """Takes batches through the stages of its copies.

    Each copy has one thread, which runs ``predict`` and what has no threads of its own; the
    threads of the other stages serve all copies. A batch stays with one copy, the one that has
    the fewest when it comes.

    Args:
        id: of the version.
        executables: the copies, at least one.
        counts: threads of each stage that has its own, by its name.
        loop: where the ends of batches are told.
        now_ns: the clock.

    Concurrency: the event loop's thread.
    """

    def __init__(
        self,
        id: ServableId,  # noqa: A002  # the field's name everywhere
        executables: Sequence[PythonExecutable],
        counts: Mapping[str, int],
        loop: asyncio.AbstractEventLoop,
        now_ns: Callable[[], int],
    ) -> None:
        self._id = id
        self._loop = loop
        self._now_ns = now_ns
        name = f"penstock-{id.name}-{id.version}"
        apart = {stage: StageThreads(f"{name}-{stage}", count) for stage, count in counts.items()}
        own = [StageThreads(name, 1) for _ in executables]
        self._threads = (*apart.values(), *own)
        self._copies = [
            _Copy(one, apart, thread) for one, thread in zip(executables, own, strict=True)
        ]
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self._closing: asyncio.Task[None] | None = None

    def submit(self, work: Work, on_done: Callable[[Execution], None]) -> None:
        """Compute a batch; ``on_done`` is called on the event loop's thread.

        Threads start with the first batches that keep them busy.

        Raises:
            RuntimeError: the system gives no thread.
        """
        copy = min(self._copies, key=lambda one: one.under_way)
        wanted = 1 + sum(one.under_way for one in self._copies)
        for leg in copy.legs:
            leg.threads.start(wanted)

        def on_end(execution: Execution) -> None:
            self._loop.call_soon_threadsafe(self._ended, copy, execution, on_done)

        copy.under_way += 1
        self._is_empty.clear()
        Passage(self._id, copy.executable, copy.legs, work, self._now_ns, on_end).begin()

    async def close(self) -> None:
        """Wait for the batches under way, then end the threads and close the copies.

        A copy whose batch has not come back after ``_CLOSE_TIMEOUT_S`` is left to itself with its
        memory. May be called by every one that shares it: all wait for the same end.
        """
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        try:
            await asyncio.wait_for(self._is_empty.wait(), _CLOSE_TIMEOUT_S)
        except TimeoutError:
            _log.error("%s hangs; its threads and memory are left behind", self._id)
        for threads in self._threads:
            threads.stop()
        for copy in self._copies:
            if not copy.under_way:
                copy.executable.close()

    def _ended(
        self, copy: _Copy, execution: Execution, on_done: Callable[[Execution], None]
    ) -> None:
        copy.under_way -= 1
        if not any(one.under_way for one in self._copies):
            self._is_empty.set()
        on_done(execution)
