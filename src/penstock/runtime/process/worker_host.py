"""WorkerHost: what all workers of a serving process share, and the one that ends them all."""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol

from penstock.core.errors import LoadFailed
from penstock.core.ids import ServableId
from penstock.core.servable import InferenceClient
from penstock.runtime.process.shared_memory import SharedMemoryBudget
from penstock.runtime.process.worker_source import WorkerSupply

_log: Final = logging.getLogger("penstock.runtime")


class HostedInstance(Protocol):
    """What a host ends."""

    async def end(self, why: str) -> None:
        """Kill the worker, and wait until it is gone."""
        ...


class WorkerHost:
    """What all workers of a serving process share.

    Law: from ``add`` to ``remove`` an instance is known here, whoever else has forgotten it; after
    ``close`` none has a worker, and none is started.

    Args:
        client: how their models call other models.
        budget: how much shared memory they may use together.
        supply: where they come from.
        num_sharing: how many serving processes share each of them.

    Concurrency: the event loop's thread.
    """

    def __init__(
        self,
        client: InferenceClient,
        budget: SharedMemoryBudget,
        supply: WorkerSupply,
        num_sharing: int = 1,
    ) -> None:
        self.client = client
        self.budget = budget
        self.supply = supply
        self.num_sharing = num_sharing
        self._instances: set[HostedInstance] = set()
        self._is_closed = False

    def add(self, id: ServableId, instance: HostedInstance) -> None:  # noqa: A002  # the field's name
        """An instance is about to start its worker.

        Raises:
            LoadFailed: the server has ended.
        """
        if self._is_closed:
            raise LoadFailed(f"{id}: the server is shutting down: no worker is started any more")
        self._instances.add(instance)

    def remove(self, instance: HostedInstance) -> None:
        """An instance has ended its worker for good."""
        self._instances.discard(instance)

    async def close(self) -> None:
        """End every worker that is left: those whose model was not unloaded, or not yet loaded."""
        self._is_closed = True
        left = tuple(self._instances)
        ends = (one.end("the server is shutting down") for one in left)
        for result in await asyncio.gather(*ends, return_exceptions=True):
            if isinstance(result, BaseException):
                _log.error("a worker could not be ended", exc_info=result)
        self.supply.close()
