"""ProcessReport: what one serving process tells of a model whose requests are counted."""

from __future__ import annotations

import msgspec

from penstock.router.counts import StageCounts


class ProcessReport(msgspec.Struct, frozen=True):
    """One process, one model, at one instant; the last one of each process is kept.

    What a process that has died told last still counts: its requests were answered.

    Attributes:
        at_ms: when, in milliseconds since 1970.
        counts: of the present stage.
        ready: the model's versions that answer there, ascending.
        failures: why a version does not, by its number.
    """

    at_ms: int
    counts: StageCounts
    ready: tuple[int, ...] = ()
    failures: dict[int, str] = {}
