"""How a server stops. The order is law 5 of ARCHITECTURE.md, and it stands here alone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence

from penstock.core.daemon_thread import on_daemon_thread
from penstock.server.service import ModelService

_log = logging.getLogger("penstock.server")

_LAST_WORDS_S = 1.0
_FLUSH_S = 3.0


async def drain(
    service: ModelService,
    *,
    stop_accepting: Sequence[Callable[[float], Awaitable[None]]],
    timeout_s: float,
    is_silent: bool = False,
    end_workers: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Not ready -> stop accepting -> drain to the deadline -> stop instances -> flush telemetry.

    A request that is under way at the deadline is answered then, with NotReady, and the doors
    have ``_LAST_WORDS_S`` to write that before they are closed. A step that raises is logged and
    keeps no later one from its turn.

    Args:
        service: whose requests are under way.
        stop_accepting: one per door; each takes the seconds after which it may cut off what is
            still under way.
        timeout_s: the deadline of it all, in seconds.
        is_silent: whether it is not worth a word unless requests are under way: a start that
            failed has its error to tell, and nothing else.
        end_workers: ends the worker processes that no unload has ended, of loads that were cut
            short for one; None: there are none.

    Concurrency: the event loop's thread; ends by about ``timeout_s``, whatever hangs: the last
    answers, what the Manager's ``close_grace_s`` gives to models that hang, and at most
    ``_FLUSH_S`` for telemetry come on top.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    service.is_draining = True
    if service.in_flight or not is_silent:
        _log.info("draining: %d requests under way", service.in_flight)
    quiet = loop.create_task(_quiet(service, stop_accepting, timeout_s + _LAST_WORDS_S))
    try:
        await asyncio.wait({quiet}, timeout=timeout_s)
        if not quiet.done():
            _log.warning(
                "drain deadline: %d requests are given up, open connections are closed",
                service.in_flight,
            )
        closing = service.manager.aclose(max(0.0, deadline - loop.time()))
        await _each([closing, _last_words(quiet)])
    finally:
        quiet.cancel()
        if end_workers is not None:
            await _each([end_workers()])
        await _each(_flush(recorder.flush) for recorder in service.recorders)


async def _quiet(
    service: ModelService,
    stop_accepting: Iterable[Callable[[float], Awaitable[None]]],
    timeout_s: float,
) -> None:
    """Return when every door is shut and no request is under way."""
    await _each(_stop(stop, timeout_s) for stop in stop_accepting)
    await service.wait_quiet()


async def _stop(stop: Callable[[float], Awaitable[None]], timeout_s: float) -> None:
    await stop(timeout_s)


async def _last_words(quiet: asyncio.Task[None]) -> None:
    """Give the doors the time to write what the end of the instances has brought."""
    await asyncio.wait({quiet}, timeout=_LAST_WORDS_S)
    quiet.cancel()
    await asyncio.gather(quiet, return_exceptions=True)


async def _flush(flush: Callable[[], object]) -> None:
    async with asyncio.timeout(_FLUSH_S):
        await on_daemon_thread(flush, "penstock-flush")


async def _each(steps: Iterable[Awaitable[object]]) -> None:
    """Wait for all of them; what one raises is logged and holds up no other."""
    for result in await asyncio.gather(*steps, return_exceptions=True):
        if isinstance(result, BaseException):
            _log.error("a part of the server could not be stopped", exc_info=result)
