"""ManagedTarget: what those who say what should serve need of the Manager."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from penstock.core.source import AspiredModel, Target
from penstock.core.status import VersionStatus
from penstock.lifecycle.stream import Stream


class ManagedTarget(Target[AspiredModel], Protocol):
    """What ModelControl needs of the Manager."""

    def retry_failed(self, name: str) -> None:
        """Try what has failed of this model once more."""
        ...

    def demand(self, name: str, *, is_urgent: bool = False) -> Stream | None:
        """Want a model that is loaded on demand in memory; None: it is not loaded so."""
        ...

    def forgo(self, stream: Stream) -> None:
        """Pay back what ``demand`` gave."""
        ...

    def statuses(self, name: str | None = None) -> list[VersionStatus]:
        """Every version of this model, or of all."""
        ...

    def failures(self, name: str) -> list[VersionStatus]:
        """The aspired versions of this model that have failed."""
        ...

    def ready_versions(self, name: str) -> list[int]:
        """The versions of this model that answer."""
        ...

    async def wait_loaded(self, names: Iterable[str] | None = None) -> None:
        """Wait until every aspired version is ready or has failed."""
        ...

    async def wait_settled(self, names: Iterable[str] | None = None) -> None:
        """Wait until, besides, nothing is left to be unloaded."""
        ...
