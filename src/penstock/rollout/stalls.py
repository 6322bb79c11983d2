"""Stalls: what keeps this process from deciding, told of once and shown in the metrics."""

from __future__ import annotations

import logging
from typing import Final

from penstock.telemetry.rollout_stats import RolloutStats

_log: Final = logging.getLogger("penstock.rollout")


class Stalls:
    """Takes note of what goes wrong; each kind is one line in the log until it is over.

    Args:
        stats: where it is shown.
    """

    def __init__(self, stats: RolloutStats) -> None:
        self._stats = stats
        self._told: set[tuple[str, str]] = set()

    def tell(self, name: str, what: str, why: str) -> None:
        """Nobody decides for a model, for a reason that lies outside of this program."""
        if self._is_first(name, what):
            _log.error("rollout of '%s' stays as it is: %s: %s", name, what, why)

    def bug(self, name: str, error: BaseException) -> None:
        """Nobody decides for a model, for a reason that lies within this program."""
        if self._is_first(name, type(error).__name__):
            text = "rollout of '%s' stays as it is: internal error"
            _log.error(text, name, exc_info=error)

    def over(self, name: str) -> None:
        """Somebody decides for a model again."""
        if self._stats.stalled.pop(name, None) is not None:
            _log.info("rollout of '%s' goes on", name)
        self._told = {one for one in self._told if one[0] != name}

    def _is_first(self, name: str, kind: str) -> bool:
        self._stats.stalled[name] = kind
        is_first = (name, kind) not in self._told
        self._told.add((name, kind))
        return is_first
