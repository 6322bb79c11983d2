"""ShadowTee: gives copies of answered requests to versions whose answers nobody gets."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Container
from typing import NamedTuple

from penstock.core.clock import Clock, SystemClock
from penstock.core.messages import InferRequest, InferResponse
from penstock.router.counts import PairCounts
from penstock.router.route import Route, Shadow
from penstock.router.router import Lender
from penstock.router.shadow_book import ShadowBook
from penstock.router.shadow_pace import Pace
from penstock.router.shadow_worker import ShadowWorker, Surroundings

_log = logging.getLogger("penstock.router")


class _Shadowed(NamedTuple):
    """A model that has a shadow.

    Attributes:
        route: its route.
        shadow: the route's.
        worker: who asks it.
    """

    route: Route
    shadow: Shadow
    worker: ShadowWorker


class ShadowTee:
    """The shadows of all models of one process.

    Law: a request that is offered is neither delayed, nor failed, nor answered otherwise than it
    would be without its shadow; what a shadow costs comes out of the time nobody else wants, but
    for ``shadow_pace.BUSY_RATIO`` of all time.

    Args:
        lender: lends versions.
        in_flight: how many requests of clients are under way, in all models.
        clock: the server's time.
        draw: a random number from 0 to 1 (not 1 itself), for the sample.
        own: the functions that shadows may be told to compare with.

    Concurrency: the event loop's thread only. It starts nothing before a route has a shadow.
    """

    def __init__(
        self,
        lender: Lender,
        in_flight: Callable[[], int],
        *,
        clock: Clock | None = None,
        draw: Callable[[], float] = random.random,
        own: Container[str] = (),
    ) -> None:
        clock = clock or SystemClock()
        loop, pace = asyncio.get_running_loop(), Pace(clock.monotonic_ns())
        self._around = Surroundings(lender, in_flight, pace, clock, loop, draw, own)
        self._shadowed: dict[str, _Shadowed] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def follow(self, model: str, route: Route | None) -> None:
        """Take a model's route; None, or one without a shadow: drop all there is of the old one.

        Counting begins anew with another stage, version or way to compare; it goes on where
        nothing changes of the shadow but how much is copied, and for how long.
        """
        before = self._shadowed.get(model)
        if route is None or route.shadow is None or self._is_closed:
            if before is not None:
                self._drop(model, before)
        elif before is None:
            self._start(model, route, route.shadow, ShadowBook())
        elif before.shadow == route.shadow and before.route.stage == route.stage:
            self._shadowed[model] = before._replace(route=route)
        else:
            self._drop(model, before)
            goes_on = _counted(before.route, before.shadow) == _counted(route, route.shadow)
            book = before.worker.book if goes_on else ShadowBook()
            self._start(model, route, route.shadow, book)

    def offer(
        self, model: str, route: Route, request: InferRequest, response: InferResponse
    ) -> None:
        """Take a request that was answered. At once, and without ever raising.

        Args:
            model: the model's name.
            route: its route, whose shadow gets the copy.
            request: as the client sent it.
            response: as the client gets it.
        """
        try:
            shadowed = self._shadowed.get(model)
            if shadowed is None or shadowed.route is not route:
                self.follow(model, route)
                shadowed = self._shadowed.get(model)
            if shadowed is not None:
                shadowed.worker.offer(request, response)
        except Exception:  # noqa: BLE001  # a bug of ours is not the request's
            _log.exception("a request could not be copied for its shadow", extra={"model": model})

    def counts(self, model: str) -> PairCounts | None:
        """What came of the copies so far, the caller's own; None: the model has no shadow."""
        shadowed = self._shadowed.get(model)
        return None if shadowed is None else shadowed.worker.counts()

    async def aclose(self) -> None:
        """Take nothing more, drop what waits, and cancel what is asked; no task is left."""
        self._is_closed = True
        for model, shadowed in list(self._shadowed.items()):
            self._drop(model, shadowed)
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _start(self, model: str, route: Route, shadow: Shadow, book: ShadowBook) -> None:
        worker = ShadowWorker(model, shadow, book, self._around)
        self._shadowed[model] = _Shadowed(route, shadow, worker)

    def _drop(self, model: str, shadowed: _Shadowed) -> None:
        del self._shadowed[model]
        for task in shadowed.worker.close():
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)


def _counted(route: Route, shadow: Shadow) -> tuple[object, ...]:
    """What counts are of: those of another are not added to them."""
    return route.stage, shadow.version, shadow.output, shadow.compare, shadow.tolerance
