"""ServableHandle: a lease on one ready version. While it is held, the version is not unloaded.

No locks: everything here is owned by the event loop's thread. One handle is made per request,
so it is three attributes and an integer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

from penstock.core.ids import ServableId
from penstock.core.servable import Servable


class Leases:
    """Counts who still uses one version.

    Attributes:
        count: handles that are out.
        on_idle: called each time the last handle comes back; None: nobody asks.
    """

    __slots__ = ("_is_revoked", "_waiter", "count", "on_idle")

    def __init__(self) -> None:
        self.count = 0
        self.on_idle: Callable[[], None] | None = None
        self._is_revoked = False
        self._waiter: asyncio.Event | None = None

    def all_returned(self) -> None:
        """The count has come down to zero."""
        if self._waiter is not None:
            self._waiter.set()
        if self.on_idle is not None:
            self.on_idle()

    def revoke(self) -> None:
        """Stop ``wait_returned`` from waiting, whoever still holds a lease."""
        self._is_revoked = True
        if self._waiter is not None:
            self._waiter.set()

    async def wait_returned(self) -> None:
        """Wait until every lease is back, or they were revoked. No lease may be taken meanwhile."""
        if self.count and not self._is_revoked:
            self._waiter = asyncio.Event()
            await self._waiter.wait()


class ServableHandle:
    """A lease, held from its construction to ``release`` or the end of its ``with`` block.

    Attributes:
        id: the version that was chosen.
        servable: what answers; valid while the lease is held.

    Concurrency: the event loop's thread only; never blocks.
    """

    __slots__ = ("_leases", "id", "servable")

    def __init__(self, servable_id: ServableId, servable: Servable, leases: Leases) -> None:
        self.id = servable_id
        self.servable = servable
        self._leases: Leases | None = leases
        leases.count += 1

    def release(self) -> None:
        """Give the lease back; a second call does nothing."""
        leases = self._leases
        if leases is not None:
            self._leases = None
            leases.count -= 1
            if not leases.count:
                leases.all_returned()

    def __enter__(self) -> ServableHandle:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()
