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
    """

    id: ServableId
    state: VersionState
    reason: str = ""
    revision: str = ""
    labels: tuple[str, ...] = ()
