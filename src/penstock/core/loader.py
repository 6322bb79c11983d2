"""Loader: how one version comes into memory and leaves it."""

from __future__ import annotations

from typing import Protocol

from penstock.core.resources import ResourceEstimate
from penstock.core.servable import Servable


class Loader(Protocol):
    """Brings one servable up and takes it down.

    Law: ``load`` is called at most once at a time; ``unload`` only after a ``load`` that
    returned, at most once for each. The Manager keeps this law, loaders may rely on it.
    """

    def estimate(self) -> ResourceEstimate:
        """What a load will take, cheaply and without loading. May read the file system."""
        ...

    async def load(self) -> Servable:
        """Load and warm up; the servable is ready to answer when this returns.

        Slow work runs off the event loop's thread.

        Raises:
            LoadFailed: the artifact is corrupt, does not fit, or fails its warm-up; may be
                called again after that.
        """
        ...

    async def unload(self) -> None:
        """Give everything back. Never raises.

        No request is in flight when this is called, but for those the server gives up as it
        ends: they have NotReady for their outcome before this first waits.
        """
        ...
