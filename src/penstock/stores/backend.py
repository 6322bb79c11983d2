"""Backend: what a key-value store does, whichever it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol


class Increment(NamedTuple):
    """Adds to one counter of a hash of counters.

    Attributes:
        key: the hash's key; of another name than any item's.
        field: the counter in it.
        amount: what is added; may be negative.
    """

    key: str
    field: str
    amount: int = 1


class Item(NamedTuple):
    """A value to keep.

    Attributes:
        key: its key.
        value: its bytes.
        increments: applied in the same breath as the item is written, or not at all. With
            ``only_new``, an item that was there already counts nothing: writing it twice, or
            again after an unclear failure, does not count twice.
    """

    key: str
    value: bytes
    increments: tuple[Increment, ...] = ()


class Backend(Protocol):
    """A key-value store with expiry and counters.

    Laws: ``get_many`` gives what the last ``set_many`` kept, until it expires, is deleted,
    cleared, or evicted by a bound of the store; each item and its increments are written
    together; a call that is cancelled leaves no other call with a wrong answer.

    Raises, everywhere: StoreError, within a bounded time of its own choice, which may be longer
    than a request can wait: see ``penstock.stores.guard``.

    Concurrency: one event loop; any number of calls at once; never blocks it.
    """

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values of the keys, in their order; None: not there (any more). One round trip."""
        ...

    async def set_many(
        self, items: Sequence[Item], *, ttl_s: float | None = None, only_new: bool = False
    ) -> list[bool]:
        """Keep items.

        Args:
            items: what to keep; the last of a key wins (with ``only_new`` the first).
            ttl_s: seconds until they expire, > 0; None: never.
            only_new: leave alone what is there already.

        Returns:
            for each item whether it was written; False: it was there (``only_new``), or is larger
            than the store may ever hold.
        """
        ...

    async def expire(self, keys: Sequence[str], ttl_s: float | None) -> int:
        """Let items expire ``ttl_s`` seconds from now (None: never); how many were there."""
        ...

    async def delete(self, keys: Sequence[str]) -> int:
        """Forget items; how many were there."""
        ...

    async def clear(self, prefix: str) -> int:
        """Forget every item and every hash of counters whose key begins so; how many there were.

        In pages: other calls are answered in between. ``""`` clears everything.
        """
        ...

    def scan(self, prefix: str, *, page: int = 1000) -> AsyncIterator[list[Item]]:
        """Every item whose key begins so, about ``page`` at a time, without their increments.

        What is there from the start to the end of the scan comes at least once.
        """
        ...

    async def increment(self, increments: Sequence[Increment]) -> None:
        """Add to counters; those that are not there begin at 0. They never expire."""
        ...

    async def counters(self, keys: Sequence[str]) -> list[dict[str, int]]:
        """The counters of each hash, by field, in the order of the keys; {}: none."""
        ...

    async def ping(self) -> None:
        """Raise StoreError unless the store answers."""
        ...

    async def close(self) -> None:
        """Give connections, threads and files back. Later calls raise StoreError."""
        ...
