"""WorkerHost: what all workers of a server share."""

from __future__ import annotations

import msgspec

from penstock.core.servable import InferenceClient
from penstock.runtime.process.reaper_process import ReaperProcess
from penstock.runtime.process.shared_memory import SharedMemoryBudget


class WorkerHost(msgspec.Struct, frozen=True):
    """What all workers of a server share.

    Attributes:
        client: how their models call other models.
        budget: how much shared memory they may use together.
        reaper: who ends them if the server cannot.
        start_timeout_s: how long a worker may take to load its model.
    """

    client: InferenceClient
    budget: SharedMemoryBudget
    reaper: ReaperProcess
    start_timeout_s: float = 300.0
