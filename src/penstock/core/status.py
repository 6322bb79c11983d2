"""The state of a version, as anybody may read it."""

from __future__ import annotations

import enum
from typing import NamedTuple

from penstock.core.ids import ServableId


class VersionState(enum.StrEnum):
    """Where a version is in its life.

    ::

        NEW -> LOADING -> READY -> UNLOADING -> UNLOADED
                  |
                  +-> FAILED -> LOADING (a retry, or a new revision)
    """

    NEW = "new"
    LOADING = "loading"
    READY = "ready"
    UNLOADING = "unloading"
    UNLOADED = "unloaded"
    FAILED = "failed"


class VersionStatus(NamedTuple):
    """One version as it stands.

    Attributes:
        id: which version.
        state: where it is in its life.
        reason: why it is not ready, for people; "" where there is nothing to say.
        revision: the fingerprint of what is, or is being, loaded.
        labels: the labels that point at it.
        of_model: whether it stands for the whole model, of which no version is known: the number
            means nothing then.
    """

    id: ServableId
    state: VersionState
    reason: str = ""
    revision: str = ""
    labels: tuple[str, ...] = ()
    of_model: bool = False

    @property
    def subject(self) -> str:
        """Who this is about, for people."""
        return f"model '{self.id.name}'" if self.of_model else str(self.id)

    def says(self) -> str:
        """The reason, and whose it is."""
        return f"{self.subject}: {self.reason}" if self.of_model else self.id.says(self.reason)
