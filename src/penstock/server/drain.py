"""How a server stops. The order is law 5 of ARCHITECTURE.md, and it stands here alone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from penstock.server.service import ModelService

_log = logging.getLogger("penstock.server")


async def drain(
    service: ModelService,
    *,
    stop_accepting: Sequence[Callable[[float], Awaitable[None]]],
    timeout_s: float,
) -> None:
    """Not ready -> stop accepting -> drain to the deadline -> stop instances -> flush telemetry.

    Args:
        service: whose requests are under way.
        stop_accepting: one per door; each takes the seconds that requests under way may take.
        timeout_s: the deadline of it all, in seconds.

    Concurrency: the event loop's thread; ends by about ``timeout_s``, whatever hangs.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    service.is_draining = True
    _log.info("draining: %d requests under way", service.in_flight)
    try:
        async with asyncio.timeout_at(deadline):
            async with asyncio.TaskGroup() as doors:
                for stop in stop_accepting:
                    doors.create_task(_stop(stop, timeout_s))
            await service.wait_quiet()
    except TimeoutError:
        _log.warning("drain deadline: %d requests are given up", service.in_flight)
    await service.manager.aclose(max(0.0, deadline - loop.time()))
    for recorder in service.recorders:
        await asyncio.to_thread(recorder.flush)


async def _stop(stop: Callable[[float], Awaitable[None]], timeout_s: float) -> None:
    await stop(timeout_s)
