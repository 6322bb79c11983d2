"""Backoff: how soon a model that could not be loaded is tried again. No clock of its own."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.core.status import VersionStatus


class _Entry:
    """What is remembered of one model: what failed, how often in a row, and until when to wait."""

    def __init__(self, failed: tuple[object, ...]) -> None:
        self.failed = failed
        self.count = 0
        self.until_ns: int | None = None


class Backoff:
    """Doubles the pause after each failure of a model in a row; new files begin anew.

    Args:
        initial_s: seconds after the first failure, > 0.
        max_s: the longest pause, in seconds.
    """

    def __init__(self, initial_s: float, max_s: float) -> None:
        self._initial_s = initial_s
        self._max_s = max_s
        self._entries: dict[str, _Entry] = {}

    def left_s(self, name: str, failures: Sequence[VersionStatus], now_ns: int) -> float:
        """Seconds until this model may be tried again; <= 0: now.

        A failure that was not seen before begins a pause.

        Args:
            name: the model's name.
            failures: its versions that have failed, at least one.
            now_ns: the monotonic clock.
        """
        failed = tuple((one.id.version, one.revision) for one in failures)
        entry = self._entries.get(name)
        if entry is None or entry.failed != failed:
            entry = self._entries[name] = _Entry(failed)
        if entry.until_ns is None:
            pause_s = min(self._initial_s * 2.0 ** min(entry.count, 60), self._max_s)
            entry.until_ns = now_ns + round(pause_s * 1e9)
            entry.count += 1
        return (entry.until_ns - now_ns) / 1e9

    def tried_again(self, name: str) -> None:
        """It is being loaded once more: the next failure is a new one."""
        if (entry := self._entries.get(name)) is not None:
            entry.until_ns = None

    def forget(self, name: str) -> None:
        """It was loaded."""
        self._entries.pop(name, None)
