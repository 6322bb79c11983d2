"""KafkaProgress: which partitions are ours, what was taken of each, and what may be committed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from penstock.jobs.stream.record import Record
from penstock.jobs.stream.watermark import Watermark

Place: TypeAlias = tuple[str, str]
"""Topic and partition."""


class _Partition:
    """One partition while it is ours.

    Attributes:
        turn: which of the times that it was given to us.
        first: the first offset that was taken.
        told: the offset that was handed to the broker last; None: none was.
        stored: the last one that it said to have; None: it said so of none.
    """

    def __init__(self, turn: int, first: int) -> None:
        self.turn = turn
        self.first = first
        self.told: int | None = None
        self.stored: int | None = None
        self.watermark = Watermark()
        self._times: deque[tuple[int, int]] = deque()

    def take(self, offset: int, time_ms: int) -> None:
        self.watermark.take(offset)
        self._times.append((offset, time_ms))

    def settle(self, offset: int) -> None:
        self.watermark.settle(offset)
        settled = self.watermark.settled
        while self._times and settled is not None and self._times[0][0] <= settled:
            self._times.popleft()

    @property
    def next(self) -> int:
        """The offset at which somebody else would have to begin."""
        settled = self.watermark.settled
        return self.first if settled is None else settled + 1

    @property
    def oldest_ms(self) -> int | None:
        return (self._times[0][1] or None) if self._times else None


class KafkaProgress:
    """What a member of a consumer group did of the partitions it has.

    A partition is ours in turns: it may be taken away and come back, and what was taken in a
    turn that is over counts no more. A record's ``handle`` is its turn.

    Law: ``due`` names no offset beyond one that was taken and is not settled.
    """

    def __init__(self) -> None:
        self._partitions: dict[Place, _Partition] = {}
        self._over: dict[Place, int] = {}

    def take(self, record: Record) -> bool:
        """This one is under way now; False: its turn is over, or it was taken before."""
        place, turn, offset = record.place, record.handle, int(record.position)
        partition = self._partitions.get(place)
        if partition is None or partition.turn < turn:
            if turn <= self._over.get(place, -1):
                return False
            partition = self._partitions[place] = _Partition(turn, offset)
        if partition.turn != turn:
            return False
        try:
            partition.take(offset, record.time_ms)
        except ValueError:
            return False
        return True

    def is_ours(self, record: Record) -> bool:
        """Whether the record's turn goes on."""
        partition = self._partitions.get(record.place)
        return partition is not None and partition.turn == record.handle

    def settle(self, records: Iterable[Record]) -> None:
        """These are done with; nothing happens where their turn is over."""
        for record in records:
            partition = self._partitions.get((record.stream, record.partition))
            if partition is not None and partition.turn == record.handle:
                partition.settle(int(record.position))

    def end(self, turns: Mapping[Place, int]) -> None:
        """These turns are over."""
        for place, turn in turns.items():
            self._over[place] = max(turn, self._over.get(place, -1))
            partition = self._partitions.get(place)
            if partition is not None and partition.turn <= turn:
                del self._partitions[place]

    def due(self, places: Iterable[Place] | None = None) -> dict[Place, int]:
        """The offsets to commit, each one more than the last that is settled with all before it.

        Those that were told already are left out. None: of all partitions.
        """
        offsets = {}
        for place in self._partitions if places is None else places:
            partition = self._partitions.get(place)
            if partition is None or partition.watermark.settled is None:
                continue
            if partition.told is None or partition.told < partition.next:
                offsets[place] = partition.next
        return offsets

    def unstored(self, places: Iterable[Place] | None = None) -> dict[Place, int]:
        """The offsets that would have to be committed if these partitions went now: those that
        were told as well, as long as the broker did not say that it has them. None: of all.
        """
        return {
            place: partition.next
            for place in (self._partitions if places is None else places)
            if (partition := self._partitions.get(place)) is not None
            and partition.watermark.settled is not None
            and partition.stored != partition.next
        }

    def told(self, offsets: Mapping[Place, int]) -> None:
        """These were handed to the broker."""
        for place, offset in offsets.items():
            if (partition := self._partitions.get(place)) is not None:
                partition.told = offset

    def stored(self, offsets: Mapping[Place, int]) -> None:
        """The broker said that it has these."""
        for place, offset in offsets.items():
            if (partition := self._partitions.get(place)) is not None:
                partition.stored = offset

    def untold(self, places: Iterable[Place]) -> None:
        """The broker did not take the last of these: they are due again."""
        for place in places:
            if (partition := self._partitions.get(place)) is not None:
                partition.told = None

    def turns(self, places: Iterable[Place]) -> dict[Place, int]:
        """The turns in which these are ours; without those that are not."""
        return {
            place: partition.turn
            for place in places
            if (partition := self._partitions.get(place)) is not None
        }

    def next_offset(self, place: Place) -> tuple[int, bool] | None:
        """Where somebody else would begin, and whether all that was taken is settled.

        None: nothing was taken.
        """
        partition = self._partitions.get(place)
        return None if partition is None else (partition.next, not len(partition.watermark))

    def oldest_ms(self) -> Iterator[int]:
        """When the oldest of each partition that is under way was produced."""
        for partition in self._partitions.values():
            if (oldest := partition.oldest_ms) is not None:
                yield oldest
