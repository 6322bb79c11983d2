"""StatsRegistry: the numbers of every version that is loaded."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.core.ids import ServableId
from penstock.telemetry.stats import ModelStats


class StatsRegistry:
    """Keeps each loaded version's ModelStats; a version that leaves takes its numbers along.

    Concurrency: the event loop's thread only.
    """

    def __init__(self) -> None:
        self._stats: dict[ServableId, ModelStats] = {}

    def add(self, stats: ModelStats) -> None:
        """Keep these numbers; a replacement of the same version starts from zero."""
        self._stats[ServableId(stats.name, stats.version)] = stats

    def remove(self, stats: ModelStats) -> None:
        """Forget these numbers, unless a replacement has taken their place."""
        key = ServableId(stats.name, stats.version)
        if self._stats.get(key) is stats:
            del self._stats[key]

    def __iter__(self) -> Iterator[ModelStats]:
        """All numbers, by model and version."""
        return iter([self._stats[key] for key in sorted(self._stats)])
