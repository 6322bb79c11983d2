"""When a serving process that died is started again, and when that is hopeless. No clock."""

from __future__ import annotations

from penstock.runtime.process.restart_policy import Restart, RestartOptions, next_restart

_OPTIONS = RestartOptions(
    max_crashes=5, initial_backoff_s=0.5, max_backoff_s=10.0, quarantine_s=10.0
)
_SOUND_AFTER_S = 10.0
"""A process that has been up for so long did not die of its start."""


class Patience:
    """Keeps count of the deaths of one place among the serving processes."""

    def __init__(self) -> None:
        self._in_a_row = 0
        self._never_up = 0

    def died(self, up_s: float | None) -> Restart:
        """Decide on a process that died.

        Args:
            up_s: how long it had been up, in seconds; None: it never came up.
        """
        self._in_a_row = 0 if up_s is not None and up_s >= _SOUND_AFTER_S else self._in_a_row
        self._never_up = self._never_up + 1 if up_s is None else 0
        self._in_a_row += 1
        return next_restart(self._in_a_row, _OPTIONS)

    @property
    def is_lost(self) -> bool:
        """Whether it has died so often in a row before it came up that it hardly ever will."""
        return self._never_up >= _OPTIONS.max_crashes
