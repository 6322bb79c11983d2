"""ControlStore: what should be true of a server, kept where each of its processes reads it.

By level, not by edge: a process reads what is desired and makes itself so, then says what became of
it. The history is kept: who changed what, when and why.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import msgspec


class Change(msgspec.Struct, frozen=True):
    """One change of what should be.

    Attributes:
        revision: the number of the change, >= 1; later ones are larger.
        subject: what it is about, such as ``model/digits`` or ``logs``.
        value: what should be true of it from now on, in plain types; None: what was at the start.
        who: who asked for it.
        why: for what reason.
        at_ms: when, in milliseconds since 1970.
        undoes: the revision that it takes back; 0: none.
    """

    revision: int
    subject: str
    value: Any
    who: str = ""
    why: str = ""
    at_ms: int = 0
    undoes: int = 0


class Wish(msgspec.Struct, frozen=True):
    """A change that somebody asks for; the attributes are those of ``Change``."""

    subject: str
    value: Any
    who: str = ""
    why: str = ""
    undoes: int = 0


class ServingProcess(msgspec.Struct, frozen=True):
    """A process that serves.

    Attributes:
        id: unlike that of any other, also of the same server's earlier processes.
        number: its place in the server, from 1; 0: it is the only one.
        pid: the process.
        host: where its pid means something, unlike any other such place; "": the store is for
            one machine, which is this one.
    """

    id: str
    number: int = 0
    pid: int = 0
    host: str = ""


class Outcome(msgspec.Struct, frozen=True):
    """What became of a change in one process.

    Attributes:
        subject: of the change.
        revision: of the change.
        error: the kind of the error; "": it was applied.
        message: the error's text.
    """

    subject: str
    revision: int
    error: str = ""
    message: str = ""


class Standing(NamedTuple):
    """How far a process has come with one subject.

    Attributes:
        process: the process.
        outcome: of the last change it has dealt with; of revision 0: there was none yet.
    """

    process: ServingProcess
    outcome: Outcome


class ControlStore(Protocol):
    """Desired state, its history, and the processes that follow it.

    Law: revisions are given in one order that every process sees alike, also across restarts; a
    change is there with its number, or not at all.

    Each call raises StoreError where the store cannot be asked.
    """

    async def change(self, wish: Wish, expected: int | None = None) -> int | None:
        """Write down what should be.

        Args:
            wish: the change.
            expected: the revision of the last change of this subject, 0 for none; None: whatever
                it is.

        Returns:
            its revision; None: the last change of the subject is not the expected one, and
            nothing was written.
        """
        ...

    async def desired(self, after: int = 0) -> list[Change]:
        """The last change of each subject, those with a revision above ``after``, ascending."""
        ...

    async def history(self, subject: str = "", limit: int = 100) -> list[Change]:
        """The last changes of a subject ("": of all), the youngest first."""
        ...

    async def version(self) -> int:
        """A number that is another one after anybody else has changed anything, told an outcome,
        come or gone; cheap to ask.
        """
        ...

    async def attempt(self, process_id: str, subject: str, revision: int) -> None:
        """A process is about to apply a change; the outcome it reports ends the attempt."""
        ...

    async def abandoned(self, process_id: str) -> list[tuple[str, int]]:
        """Subject and revision of each change that a process began, and told no outcome of."""
        ...

    async def report(self, process: ServingProcess, outcomes: Sequence[Outcome] = ()) -> None:
        """A process lives, and has dealt with these changes; the first report makes it known."""
        ...

    async def leave(self, process_id: str) -> None:
        """A process serves no longer; one that is not known is no error."""
        ...

    async def standings(self, subject: str, live_s: float) -> list[Standing]:
        """How far each process has come that has reported in the last ``live_s`` seconds."""
        ...

    async def publish(self, process_id: str, subject: str, value: bytes) -> None:
        """Keep what a process tells of a subject, in place of what it told before.

        It outlives the process, and is forgotten 30 days after it was told.
        """
        ...

    async def published(self, subject: str) -> dict[str, bytes]:
        """What each process told last of a subject, by its id, those that are gone included."""
        ...

    async def acquire(self, lease: str, holder: str, ttl_s: float) -> bool:
        """Take a lease, or keep it for longer.

        Whoever holds one may still be too late: what it writes has to be a ``change`` of an
        expected revision.

        Returns:
            whether it is the holder's for ``ttl_s`` seconds from now; False: it is another's.
        """
        ...

    async def release(self, lease: str, holder: str) -> None:
        """Give a lease back; one that is not the holder's stays as it is."""
        ...

    async def close(self) -> None:
        """Let go of it. No call after this one."""
        ...
