"""StreamStats: what one stream took, made of it, and how far it is behind."""

from __future__ import annotations

from penstock.telemetry.stats import BATCH_BOUNDS_ROWS, LATENCY_BOUNDS_NS, Histogram


class StreamStats:
    """The running numbers of one stream. Owned by the event loop's thread.

    Attributes:
        name: the stream's name.
        received: records taken from the source, those that came again among them.
        redelivered: of those, the ones that were delivered before.
        predicted, dropped: records settled, whose answer is at the sink, or who have none.
        dead: records settled, whose dead letter is at its sink, by reason: an error code.
        retries: steps that failed and are tried again, by step.
        under_way_records, under_way_bytes: taken and not settled yet.
        batch_records: records per micro-batch.
        age_ns: from when a record was produced to its effect being durable.
        is_connected: whether the source answered when it was last asked.
        lag: records that wait at the source; None: it cannot tell, or has not been asked yet.
        oldest_ms: when the oldest of them was produced, since 1970; None: not known.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.received = 0
        self.redelivered = 0
        self.predicted = 0
        self.dropped = 0
        self.dead: dict[str, int] = {}
        self.retries: dict[str, int] = {}
        self.under_way_records = 0
        self.under_way_bytes = 0
        self.batch_records = Histogram(BATCH_BOUNDS_ROWS)
        self.age_ns = Histogram(LATENCY_BOUNDS_NS)
        self.is_connected = False
        self.lag: int | None = None
        self.oldest_ms: int | None = None

    @property
    def num_dead(self) -> int:
        """Dead letters, whyever."""
        return sum(self.dead.values())

    @property
    def num_settled(self) -> int:
        """Records that are done with."""
        return self.predicted + self.dropped + self.num_dead

    def died(self, reason: str) -> None:
        """Count one dead letter."""
        self.dead[reason] = self.dead.get(reason, 0) + 1

    def retried(self, step: str) -> None:
        """Count one step that failed and is tried again."""
        self.retries[step] = self.retries.get(step, 0) + 1
