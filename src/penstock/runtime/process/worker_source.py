"""Where workers come from, as the copies that use them see it: started here, or by a broker."""

from __future__ import annotations

from typing import Final, Protocol

from penstock.core.errors import NotReady
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.process.channel import FromWorker
from penstock.runtime.process.frame import Loaded, ToServer

ASKED: Final = "it was asked to end"


class WorkerOwner(Protocol):
    """Who is told what becomes of a worker. All calls come on the event loop's thread.

    For each worker in turn: ``connected``, then ``up`` once it has its model, then ``ended``. The
    first worker's ``up`` is what ``WorkerSource.start`` returns.
    """

    @property
    def is_busy(self) -> bool:
        """Whether the worker has something to compute, so that it need not answer a ping."""
        ...

    def overdue(self) -> str:
        """Why the worker should be ended now; "": it should not."""
        ...

    def connected(self, channel: FromWorker) -> None:
        """A new worker is there, without its model; what it says comes through ``take``."""
        ...

    def take(self, message: ToServer, body: memoryview) -> None:
        """The worker says something that is no matter of its load.

        Raises:
            BadFrame: it makes no sense now.
        """
        ...

    def up(self, loaded: Loaded) -> None:
        """A worker that took a dead one's place has its model."""
        ...

    def lost(self) -> None:
        """The worker can be given no more work; ``ended`` will follow."""
        ...

    def ended(self, why: str, *, is_counted: bool = True) -> None:
        """The worker is gone.

        Args:
            why: the reason, for people.
            is_counted: whether this death is for this owner to count.
        """
        ...

    def faulted(self, fault: NotReady) -> None:
        """There will be no worker for long."""
        ...


class WorkerSource(Protocol):
    """Keeps one copy's worker alive. The event loop's thread."""

    @property
    def pid(self) -> int:
        """The worker's process; 0: there is none now."""
        ...

    @property
    def is_elsewhere(self) -> bool:
        """Whether the worker computes a batch of another process now."""
        ...

    @property
    def ends_hangs(self) -> bool:
        """Whether a worker whose batch takes too long is ended without its owner's asking."""
        ...

    def has_begun(self, batch: int) -> bool:
        """Whether the worker has begun a batch.

        Args:
            batch: its number among those sent to this worker from here, from 1.
        """
        ...

    async def start(self) -> Loaded:
        """Have a worker with its model.

        Raises:
            LoadFailed: there is none. ``close`` has to be called all the same.
        """
        ...

    def kill(self, why: str) -> None:
        """Have the worker ended now; another takes its place."""
        ...

    def answered(self) -> None:
        """The worker has answered a request: its next death is the first in a row."""
        ...

    async def close(self, timeout_s: float, why: str = ASKED) -> None:
        """Give the worker back, which the owner is told as its end.

        Args:
            timeout_s: how long it may take to end by itself, before it is killed.
            why: the reason, for people.
        """
        ...


class WorkerSupply(Protocol):
    """Makes the sources of one serving process."""

    @property
    def start_timeout_s(self) -> float:
        """How long a worker may take to load its model."""
        ...

    def source(self, artifact: ArtifactRef, index: int, owner: WorkerOwner) -> WorkerSource:
        """What keeps the worker of copy ``index`` alive.

        Raises:
            LoadFailed: the manifest asks for what is not there.
        """
        ...

    def close(self) -> None:
        """There will be no more sources, and those there were are closed."""
        ...
