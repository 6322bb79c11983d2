"""Bring up every worker of a model, or none."""

from __future__ import annotations

import asyncio

from penstock.core.clock import Clock
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.process.frame import Loaded
from penstock.runtime.process.process_instance import ProcessInstance
from penstock.runtime.process.worker_host import WorkerHost


async def start_instances(
    artifact: ArtifactRef, host: WorkerHost, clock: Clock
) -> tuple[list[ProcessInstance], Loaded]:
    """Start as many workers as the manifest says, side by side.

    Returns:
        the copies, and what the first said of its model.

    Raises:
        LoadFailed: one of them did not come up; the others are ended.
    """
    count = artifact.manifest.instances.count
    instances = [ProcessInstance(artifact, index, host, clock) for index in range(count)]
    try:
        started = await asyncio.gather(
            *(instance.start() for instance in instances), return_exceptions=True
        )
        for outcome in started:
            if isinstance(outcome, BaseException):
                raise outcome
    except BaseException:
        await asyncio.gather(*(instance.close() for instance in instances))
        raise
    loaded = [outcome for outcome in started if isinstance(outcome, Loaded)]
    return instances, loaded[0]
