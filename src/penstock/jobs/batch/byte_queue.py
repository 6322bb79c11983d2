"""ByteQueue and LaneQueue: between two stages of a job; bounded by what lies in them, in bytes.

Law 10: what lies in a queue is never more than ``max_bytes``. An item that is larger passes from
hand to hand: it is taken in while somebody waits for it, and lies nowhere.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

_ITEM_BYTES = 256  # what an item costs, however small


class QueueAborted(Exception):
    """Nobody is to put or get any more."""


class _Lying(NamedTuple, Generic[T]):
    item: T
    num_bytes: int


class _Bounded(Generic[T]):
    """What both queues do alike: count, and hand over what is ready."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.peak_bytes = 0
        self._num_bytes = 0
        self._num_waiting = 0
        self._is_closed = False
        self._is_aborted = False
        self._changed = threading.Condition()
        self._ready: deque[_Lying[T]] = deque()

    def get(self) -> T | None:
        """The next item; None: it is closed and empty. Blocks.

        Raises:
            QueueAborted: nothing is to be taken any more.
        """
        with self._changed:
            self._num_waiting += 1
            self._changed.notify_all()
            try:
                while not self._ready:
                    self._check()
                    if self._is_closed:
                        return None
                    self._changed.wait()
                self._check()
            finally:
                self._num_waiting -= 1
            lying = self._ready.popleft()
            self._add(-lying.num_bytes)
            return lying.item

    def close(self) -> None:
        """Nothing more comes; what lies here can still be taken."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Wake everyone who waits; what lies here is forgotten."""
        with self._changed:
            self._is_aborted = True
            self._changed.notify_all()

    # what follows is called with the lock held

    def _fits(self, num_bytes: int) -> bool:
        return self._num_bytes + num_bytes <= self.max_bytes

    def _add(self, num_bytes: int) -> None:
        self._num_bytes += num_bytes
        self.peak_bytes = max(self.peak_bytes, self._num_bytes)
        self._changed.notify_all()

    def _check(self) -> None:
        if self._is_aborted:
            raise QueueAborted


class ByteQueue(_Bounded[T]):
    """First in, first out. Any number of threads on both sides.

    Args:
        max_bytes: what may lie in it.

    Attributes:
        peak_bytes: the most that ever lay in it.
    """

    def put(self, item: T, num_bytes: int) -> None:
        """Put an item; blocks while there is no room.

        Raises:
            QueueAborted: nobody will ever take it.
        """
        needed = num_bytes + _ITEM_BYTES
        with self._changed:
            while not (self._fits(needed) or (not self._ready and self._num_waiting)):
                self._check()
                self._changed.wait()
            self._check()
            lying = _Lying(item, needed if self._fits(needed) else 0)
            self._ready.append(lying)
            self._add(lying.num_bytes)


class LaneQueue(_Bounded[T]):
    """Brings what comes in any order into the order of its lane. Many may put, one gets.

    An item that is the next of its lane is always taken in sooner or later, whatever lies here:
    nobody waits for room that only a later item could make.

    Args:
        max_bytes: what may lie in it.

    Attributes:
        peak_bytes: the most that ever lay in it.
    """

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes)
        self._next: dict[int, int] = {}
        self._early: dict[tuple[int, int], _Lying[T]] = {}

    def put(self, item: T, num_bytes: int, lane: int, number: int) -> None:
        """Put an item; blocks while there is no room.

        Args:
            item: what it is.
            num_bytes: its size.
            lane: whose order it belongs to.
            number: its place in it, from 0; each is put once.

        Raises:
            QueueAborted: nobody will ever take it.
        """
        needed = num_bytes + _ITEM_BYTES
        with self._changed:
            while not (self._fits(needed) or self._may_pass(lane, number)):
                self._check()
                self._changed.wait()
            self._check()
            lying = _Lying(item, needed if self._fits(needed) else 0)
            self._early[lane, number] = lying
            while (first := self._early.pop((lane, self._next.get(lane, 0)), None)) is not None:
                self._ready.append(first)
                self._next[lane] = self._next.get(lane, 0) + 1
            self._add(lying.num_bytes)

    def forget(self, lane: int) -> None:
        """A lane is at its end."""
        with self._changed:
            self._next.pop(lane, None)

    def _may_pass(self, lane: int, number: int) -> bool:
        """Whether it can be handed over: it is next, and who gets waits for just it."""
        is_next = self._next.get(lane, 0) == number
        return bool(is_next and not self._ready and self._num_waiting)
