"""StoreStats: what one store was asked and how it went."""

from __future__ import annotations

from penstock.telemetry.stats import LATENCY_BOUNDS_NS, Histogram


class StoreStats:
    """The running numbers of one store. Owned by the event loop's thread.

    Attributes:
        name: which store, such as ``predictions``.
        lookups: keys asked for, by outcome: ``hit``, ``miss`` (computed), ``shared`` (computed
            by another request at the same time).
        errors: failed calls by (``read`` or ``write``, fault).
        dropped: items that were never written, by reason.
        written: items written.
        pending_items, pending_bytes: what waits to be written now.
        is_open: by operation, whether the circuit breaker keeps it from the store now.
        read_ns, write_ns: one call of the store that did not fail.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.lookups = {"hit": 0, "miss": 0, "shared": 0}
        self.errors: dict[tuple[str, str], int] = {}
        self.dropped: dict[str, int] = {}
        self.written = 0
        self.pending_items = 0
        self.pending_bytes = 0
        self.is_open = {"read": False, "write": False}
        self.read_ns = Histogram(LATENCY_BOUNDS_NS)
        self.write_ns = Histogram(LATENCY_BOUNDS_NS)

    def failed(self, operation: str, fault: str) -> None:
        """Count one failed call."""
        key = (operation, fault)
        self.errors[key] = self.errors.get(key, 0) + 1

    def drop(self, reason: str, items: int) -> None:
        """Count items that will never be written."""
        self.dropped[reason] = self.dropped.get(reason, 0) + items
