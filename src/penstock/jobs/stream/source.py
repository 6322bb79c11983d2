"""StreamSource and StreamSink: where records come from and go to. Every broker speaks these."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

import msgspec

from penstock.jobs.stream.record import Produced, Record

OnRevoked: TypeAlias = Callable[[frozenset[tuple[str, str]]], Awaitable[None]]
"""Told (stream, partition) pairs that are about to be taken away; returns when the records of
them that are under way are settled, or its time is up."""


class Lag(msgspec.Struct, frozen=True):
    """How far a source is behind.

    Attributes:
        records: that wait; None: the broker cannot tell.
        oldest_ms: when the oldest that waits was produced, since 1970; None: not known.
    """

    records: int | None
    oldest_ms: int | None = None


class StreamSource(Protocol):
    """Delivers each record at least once, until it is settled. On one event loop.

    After a StreamError that is retryable the same call is made again, with back-off: the source
    connects anew by itself. The runner makes no two calls of ``poll`` at once; ``settle``,
    ``release`` and ``lag`` may come while it waits.
    """

    async def open(self, on_revoked: OnRevoked) -> None:
        """Connect and join.

        Raises:
            StreamError: the broker cannot be reached, or refuses; ``retryable`` tells which.
        """
        ...

    async def poll(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        """The next records, in the order of their partition; none after the time.

        Returns as soon as there is one, with what is there by then. To call it keeps the place in
        the group; while the runner is full it calls with ``max_records`` 0, which takes none
        (back-pressure) and never waits longer than the time.

        Raises:
            StreamError: as for ``open``.
        """
        ...

    async def settle(self, records: Sequence[Record]) -> None:
        """These are done with: their effect is durable. In any order; a log commits no position
        before all that stand ahead of it are settled, too.

        Raises:
            StreamError: it could not be told; they may come again.
        """
        ...

    async def release(self, records: Sequence[Record]) -> None:
        """These were taken and not done: have them delivered again, to whomever. Never raises."""
        ...

    async def lag(self) -> Lag:
        """How far it is behind.

        Raises:
            StreamError: as for ``open``.
        """
        ...

    async def close(self) -> None:
        """Commit what is settled, and leave. Never raises."""
        ...


class StreamSink(Protocol):
    """Takes what was produced. Idempotent by ``Produced.id`` where the broker lets it be.

    One call of ``write`` at a time, micro-batches in the order in which their records came. After
    a StreamError that is retryable the same results are written again, with back-off.
    """

    async def open(self) -> None:
        """Connect.

        Raises:
            StreamError: as for a source.
        """
        ...

    async def write(self, results: Sequence[Produced]) -> None:
        """Send; all of them are durable when this returns.

        Raises:
            StreamError: not all are; those that are may be sent again.
        """
        ...

    async def close(self) -> None:
        """Leave. Never raises."""
        ...


@runtime_checkable
class ExactlyOnce(Protocol):
    """A sink that can settle, too: results and progress become durable together or not at all.

    Used in place of ``StreamSink.write`` and ``StreamSource.settle`` where a stream says
    ``delivery: exactly_once``. Made for one source, which it is bound to; the runner opens the
    source first, and closes it last.
    """

    async def open(self) -> None:
        """Connect; what an earlier run left open is called off.

        Raises:
            StreamError: as for a source.
        """
        ...

    async def write_and_settle(
        self, results: Sequence[Produced], records: Sequence[Record]
    ) -> bool:
        """Send the results and settle the records, in one.

        One call at a time, micro-batches in the order in which their records came, so that each
        settles the next positions of its partitions.

        Args:
            results: none for the records that were dropped or are dead letters.
            records: all of the micro-batch.

        Returns:
            whether it took place; False: nothing was sent, as the records (all or some) belong to
            somebody else by now, who will do them.

        Raises:
            StreamError: none of it took place (or, where nobody knows, the same call once more
                does no harm). Not retryable: the broker refuses who or what we are.
        """
        ...

    async def close(self) -> None:
        """Leave; what is open is called off. Never raises."""
        ...
