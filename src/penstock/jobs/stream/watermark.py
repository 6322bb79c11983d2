"""Watermark: up to where a partition is done, whatever the order in which it gets done. Pure."""

from __future__ import annotations

from collections import OrderedDict


class Watermark:
    """The positions of one partition that were taken, and which of them are settled.

    Laws: ``settled`` never goes back; no position that was taken and is not settled stands at or
    before it; once all are settled it is the last one taken.

    Positions need not follow one on the other: a log has gaps. Taking and settling cost the same
    however many are under way, and nothing is kept of what stands before ``settled``.

    Attributes:
        settled: the last position that is settled together with all before it; None: there is
            none yet.
    """

    def __init__(self) -> None:
        self._under_way: OrderedDict[int, bool] = OrderedDict()
        self.settled: int | None = None

    def __len__(self) -> int:
        """How many positions it holds: taken, and beyond ``settled``."""
        return len(self._under_way)

    def take(self, position: int) -> None:
        """This one is under way now.

        Raises:
            ValueError: it is not beyond all that were taken before.
        """
        last = next(reversed(self._under_way)) if self._under_way else self.settled
        if last is not None and position <= last:
            raise ValueError(f"position {position} is not beyond {last}, which was taken before")
        self._under_way[position] = False

    def settle(self, position: int) -> None:
        """This one is done with. One that is not under way (settled before) changes nothing."""
        if position not in self._under_way:
            return
        self._under_way[position] = True
        while self._under_way:
            first, is_settled = next(iter(self._under_way.items()))
            if not is_settled:
                break
            del self._under_way[first]
            self.settled = first
