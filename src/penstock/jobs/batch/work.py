"""Work: a split to be done; and who gives it out. Engines speak this."""

from __future__ import annotations

import threading
from typing import NamedTuple, Protocol

import msgspec

from penstock.core.errors import PenstockError
from penstock.jobs.batch.report import SplitTally
from penstock.jobs.batch.sink import Receipt
from penstock.jobs.batch.split import Split


class Work(msgspec.Struct, frozen=True):
    """A split to be done. Picklable.

    Attributes:
        split: which.
        id: its id, which names its part.
        attempt: how often it was given out, this time included.
    """

    split: Split
    id: str
    attempt: int = 1


class SplitOutcome(NamedTuple):
    """A split whose part is in the output. Picklable.

    Attributes:
        tally: what is counted of it.
        receipt: what the sink said.
    """

    tally: SplitTally
    receipt: Receipt


class Desk(Protocol):
    """Gives work out, and takes it back. Any thread."""

    @property
    def stop(self) -> threading.Event:
        """Set: whatever is under way is to be left as it is, at once."""
        ...

    def take(self) -> Work | None:
        """The next split; None: there will be no more. Blocks while there may be one later."""
        ...

    def seen(self, work: Work, rows: int, dead: int) -> None:
        """So many more rows of it came to their end, ``dead`` of them as dead letters."""
        ...

    def done(self, work: Work, outcome: SplitOutcome) -> None:
        """Its part is in the output."""
        ...

    def failed(self, work: Work, error: PenstockError) -> None:
        """It failed, and nothing of it is in the output."""
        ...
