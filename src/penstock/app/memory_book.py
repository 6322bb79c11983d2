"""MemoryBook: how large each version is, as far as anybody knows."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Literal, NamedTuple

from penstock.core.ids import ServableId
from penstock.core.resources import ResourceEstimate
from penstock.repository.artifact import ArtifactRef

Source = Literal["estimated", "measured", "declared"]

_MAX_ENTRIES: Final = 10_000
_TURN_S: Final = 2.0
"""A load that has waited for its turn so long goes on: the one before may be waiting for it."""


class MemoryUse(NamedTuple):
    """What a version takes in memory.

    Attributes:
        num_bytes: how much.
        source: ``estimated`` from its files and from other models of its runtime, ``measured``
            when it was loaded, or ``declared`` by its runtime.
    """

    num_bytes: int
    source: Source


class MemoryBook:
    """Remembers what was learnt of a version's size, beyond its unload.

    What the runtime declares stands; of several measurements the largest one, because memory that
    is used again does not show. A version that was never measured is taken to need its files, once
    for each instance, and what the measured ones of its runtime needed beyond theirs, on average.

    The first load of a runtime is an upper bound for its version and nothing more. It takes the
    version's own memory and what the framework makes on its first use and keeps (arenas, pools of
    threads, compiled kernels), and one number cannot tell the two apart. Charged to the version,
    it would keep others out; charged to the runtime, memory that goes with the version would
    count for ever. The first load after that, of this version or another, is measured.

    Args:
        learns_early: whether loads of a runtime run one at a time until one was measured, so
            that there is something to judge the others by.

    Concurrency: the event loop's thread.
    """

    def __init__(self, *, learns_early: bool = False) -> None:
        self._learns_early = learns_early
        self._known: dict[ServableId, tuple[str, MemoryUse]] = {}
        self._started: set[str] = set()
        self._firsts: dict[str, tuple[ServableId, str, int]] = {}
        self._overheads: dict[str, tuple[int, float]] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def use_of(self, artifact: ArtifactRef) -> MemoryUse:
        """What a version takes, or would take, as far as that is known."""
        entry = self._known.get(artifact.id)
        if entry is not None and entry[0] == artifact.revision:
            return entry[1]
        _, overhead_bytes = self._overheads.get(artifact.runtime, (0, 0.0))
        num_bytes = _files_bytes(artifact) + round(overhead_bytes)
        first = self._firsts.get(artifact.runtime)
        if first is not None and first[:2] == (artifact.id, artifact.revision):
            num_bytes = max(_files_bytes(artifact), min(num_bytes, first[2]))
        return MemoryUse(num_bytes, "estimated")

    def estimate(self, artifact: ArtifactRef) -> ResourceEstimate:
        """What a load will take; what was concluded from other models counts as guessed."""
        use = self.use_of(artifact)
        is_guess = use.source == "estimated"
        guessed_bytes = max(0, use.num_bytes - _files_bytes(artifact)) if is_guess else 0
        return ResourceEstimate(use.num_bytes, guessed_bytes)

    def learn(self, artifact: ArtifactRef, use: MemoryUse | None) -> None:
        """A version was loaded, and has shown how large it is; None: it has not.

        What was known of another revision of it is forgotten.
        """
        is_first = artifact.runtime not in self._started
        self._started.add(artifact.runtime)
        if use is None:
            return
        if is_first and use.source == "measured":
            self._firsts[artifact.runtime] = (artifact.id, artifact.revision, use.num_bytes)
            return
        before = self.use_of(artifact)
        if before.source == use.source == "measured":
            use = max(before, use)
        elif use.source == "measured":
            self._learn_overhead(artifact, use)
        self._known.pop(artifact.id, None)
        self._known[artifact.id] = (artifact.revision, use)
        if len(self._known) > _MAX_ENTRIES:
            del self._known[next(iter(self._known))]

    @asynccontextmanager
    async def turn(self, runtime: str) -> AsyncIterator[None]:
        """The time for a load of this runtime: alone, where that is needed to learn from it."""
        if not self._learns_early or runtime in self._overheads:
            yield
            return
        turn = self._turns[runtime]
        if not await _acquired(turn):
            yield
            return
        try:
            if runtime not in self._overheads:
                yield
                return
        finally:
            turn.release()
        yield

    def _learn_overhead(self, artifact: ArtifactRef, use: MemoryUse) -> None:
        count, mean_bytes = self._overheads.get(artifact.runtime, (0, 0.0))
        beyond_bytes = max(0, use.num_bytes - _files_bytes(artifact))
        mean_bytes += (beyond_bytes - mean_bytes) / (count + 1)
        self._overheads[artifact.runtime] = (count + 1, mean_bytes)


async def _acquired(turn: asyncio.Lock) -> bool:
    """Wait for a turn, but not for ever; whether it is there."""
    try:
        async with asyncio.timeout(_TURN_S):
            await turn.acquire()
    except TimeoutError:
        return False
    return True


def _files_bytes(artifact: ArtifactRef) -> int:
    return artifact.num_bytes * artifact.manifest.instances.count
