"""Ahead: whether a copy that is alone gets its next batch while it computes."""

from __future__ import annotations

BELOW_NS = 20_000_000
"""Of shorter executions the gap between two of them is worth closing."""


class Ahead:
    """The state of one model's decision. Owned by the event loop's thread.

    A copy that computes long gets nothing ahead: nobody notices the gap there, and what is in the
    copy's hands is computed although its client may have gone away.

    Args:
        execute_ns: how long an execution takes, as far as is known.
        batch_rows: rows of a full batch.

    Attributes:
        from_rows: how many rows must wait for another look to be worth it.
    """

    __slots__ = ("_batch_rows", "_busy_since_ns", "_execute_ns", "from_rows")

    def __init__(self, execute_ns: int, batch_rows: int) -> None:
        self.from_rows = batch_rows
        self._batch_rows = batch_rows
        self._execute_ns = execute_ns
        self._busy_since_ns = 0

    def pays(self, now_ns: int) -> bool:
        """Whether the copy, busy now, is done soon enough."""
        return max(self._execute_ns, now_ns - self._busy_since_ns) <= BELOW_NS

    def began(self, now_ns: int) -> None:
        """The copy was idle and has a batch."""
        self._busy_since_ns = now_ns

    def ended(self, now_ns: int) -> None:
        """It has computed a batch, and has the next one if that was sent ahead."""
        self._busy_since_ns = now_ns
        self.from_rows = self._batch_rows

    def learn(self, execute_ns: int) -> None:
        """Take note of an execution's time; a long one is forgotten slowly."""
        self._execute_ns = max(execute_ns, self._execute_ns - self._execute_ns // 8)

    def found_none(self, waiting_rows: int) -> None:
        """What waits makes no full batch: look again when there is more of it."""
        self.from_rows = waiting_rows + self._batch_rows
