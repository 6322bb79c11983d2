"""A ControlStore in memory, for several Reconcilers of one event loop."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence

import msgspec

from penstock.core.clock import Clock, SystemClock
from penstock.core.errors import StoreError
from penstock.stores.control_store import Change, Outcome, ServingProcess, Standing, Wish
from penstock.stores.published_statements import KEPT_MS


class FakeControlStore:
    """Works, one turn of the event loop a call; nothing is ever too old to be alive.

    Args:
        clock: by whose wall clock what was published is forgotten; None: the machine's.

    Attributes:
        changes: the history, the oldest first.
        processes: who has reported, by id.
        fault: what every call raises; None: nothing.
        leases: who holds what, until it is given back.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.changes: list[Change] = []
        self.processes: dict[str, ServingProcess] = {}
        self.fault: StoreError | None = None
        self.leases: dict[str, str] = {}
        self._wall_ns = (clock or SystemClock()).wall_ns
        self._published: dict[str, dict[str, tuple[bytes, int]]] = {}
        self._outcomes: dict[tuple[str, str], Outcome] = {}
        self._attempts: dict[tuple[str, str], int] = {}
        self._revisions = itertools.count(1)
        self._version = 0

    async def change(self, wish: Wish, expected: int | None = None) -> int | None:
        """See ``ControlStore.change``."""
        await self._turn()
        last = max((one.revision for one in self.changes if one.subject == wish.subject), default=0)
        if expected not in (None, last):
            return None
        revision = next(self._revisions)
        value = msgspec.json.decode(msgspec.json.encode(wish.value))
        self.changes.append(
            Change(revision, wish.subject, value, wish.who, wish.why, undoes=wish.undoes)
        )
        self._version += 1
        return revision

    async def desired(self, after: int = 0) -> list[Change]:
        """See ``ControlStore.desired``."""
        await self._turn()
        last = {one.subject: one for one in self.changes}
        return sorted(
            (one for one in last.values() if one.revision > after), key=lambda one: one.revision
        )

    async def history(self, subject: str = "", limit: int = 100) -> list[Change]:
        """See ``ControlStore.history``."""
        await self._turn()
        found = [one for one in self.changes if subject in ("", one.subject)]
        return found[::-1][:limit]

    async def version(self) -> int:
        """See ``ControlStore.version``."""
        await self._turn()
        return self._version

    async def attempt(self, process_id: str, subject: str, revision: int) -> None:
        """See ``ControlStore.attempt``."""
        await self._turn()
        self._attempts[process_id, subject] = revision

    async def abandoned(self, process_id: str) -> list[tuple[str, int]]:
        """See ``ControlStore.abandoned``."""
        await self._turn()
        begun = [(what, at) for (who, what), at in self._attempts.items() if who == process_id]
        return sorted(begun, key=lambda one: one[1])

    async def report(self, process: ServingProcess, outcomes: Sequence[Outcome] = ()) -> None:
        """See ``ControlStore.report``."""
        await self._turn()
        self.processes[process.id] = process
        for outcome in outcomes:
            key = (process.id, outcome.subject)
            self._outcomes[key] = outcome
            if self._attempts.get(key, 0) <= outcome.revision:
                self._attempts.pop(key, None)
        self._version += 1

    async def leave(self, process_id: str) -> None:
        """See ``ControlStore.leave``."""
        await self._turn()
        self.processes.pop(process_id, None)
        for kept in (self._outcomes, self._attempts):
            for key in [key for key in kept if key[0] == process_id]:
                del kept[key]
        self._version += 1

    async def standings(self, subject: str, live_s: float) -> list[Standing]:
        """See ``ControlStore.standings``."""
        del live_s
        await self._turn()
        nothing = Outcome(subject, 0)
        return [
            Standing(one, self._outcomes.get((one.id, subject), nothing))
            for one in self.processes.values()
        ]

    async def publish(self, process_id: str, subject: str, value: bytes) -> None:
        """See ``ControlStore.publish``."""
        await self._turn()
        self._published.setdefault(subject, {})[process_id] = value, self._wall_ns()

    async def published(self, subject: str) -> dict[str, bytes]:
        """See ``ControlStore.published``."""
        await self._turn()
        told, now_ns = self._published.get(subject, {}), self._wall_ns()
        return {
            process_id: value
            for process_id, (value, told_ns) in told.items()
            if abs(now_ns - told_ns) <= KEPT_MS * 1_000_000
        }

    async def acquire(self, lease: str, holder: str, ttl_s: float) -> bool:
        """See ``ControlStore.acquire``."""
        del ttl_s
        await self._turn()
        return self.leases.setdefault(lease, holder) == holder

    async def release(self, lease: str, holder: str) -> None:
        """See ``ControlStore.release``."""
        await self._turn()
        if self.leases.get(lease) == holder:
            del self.leases[lease]

    async def close(self) -> None:
        """See ``ControlStore.close``."""

    async def _turn(self) -> None:
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
