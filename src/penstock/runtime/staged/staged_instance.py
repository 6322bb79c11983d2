"""StagedInstance: room for one batch in a model whose stages run on threads apart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle, islice

from penstock.core.clock import Clock
from penstock.core.ids import ServableId
from penstock.runtime.executable import declared_bytes
from penstock.runtime.instance import Execution, Work, execute_safely
from penstock.runtime.python_runtime import PythonExecutable
from penstock.runtime.staged.staged_model import StagedModel


class StagedInstance:
    """One of the batches that a ``StagedModel`` has under way at once, as an ``Instance``.

    Args:
        id: of the version.
        model: what all of them share.
        executable: the copy that ``run`` computes on.
        memory_bytes: what counts as its own; None: it is not known.
        now_ns: the clock.
    """

    can_inline = False
    takes_ahead = False
    is_ready = True
    fault = None
    deaths = 0
    is_elsewhere = False

    def __init__(
        self,
        id: ServableId,  # noqa: A002  # the field's name everywhere
        model: StagedModel,
        executable: PythonExecutable,
        memory_bytes: int | None,
        now_ns: Callable[[], int],
    ) -> None:
        self._id = id
        self._model = model
        self._executable = executable
        self.memory_bytes = memory_bytes
        self._now_ns = now_ns

    def watch(self, on_change: Callable[[], None]) -> None:
        """Nothing ever changes."""

    def submit(self, work: Work, on_done: Callable[[Execution], None]) -> None:
        """Take the batch through the stages; other batches may be in other stages meanwhile."""
        self._model.submit(work, on_done)

    def run(self, work: Work) -> Execution:
        """All stages on the caller's thread. Whatever the model raises is the result.

        Raises:
            KeyboardInterrupt: of the process's user, on its main thread.
        """
        return execute_safely(self._id, self._executable, work, self._now_ns)

    async def close(self) -> None:
        """Wait for every batch of the model, then close its copies; see ``StagedModel.close``."""
        await self._model.close()


def staged_instances(
    id: ServableId,  # noqa: A002  # the field's name everywhere
    executables: Sequence[PythonExecutable],
    counts: Mapping[str, int],
    loop: asyncio.AbstractEventLoop,
    clock: Clock,
) -> list[StagedInstance]:
    """As many as there are threads in all, so that all can be busy at once, and no more.

    One fewer and a slow stage could leave a thread without work; one more could only stand in
    line inside, where it merges with nobody, and not in the scheduler's queue, where it does.
    The first ones compute each on a copy of its own when they ``run``, for a warm-up.

    Args:
        id: of the version.
        executables: the copies, at least one; each has one thread for ``predict``.
        counts: threads of each stage that has its own, by its name.
        loop: where results are told.
        clock: the time.
    """
    now_ns = clock.monotonic_ns
    model = StagedModel(id, executables, counts, loop, now_ns)
    num_threads = len(executables) + sum(counts.values())
    memory = [*map(declared_bytes, executables), *[0] * sum(counts.values())]
    copies = islice(cycle(executables), num_threads)
    return [
        StagedInstance(id, model, executable, num_bytes, now_ns)
        for executable, num_bytes in zip(copies, memory, strict=True)
    ]
