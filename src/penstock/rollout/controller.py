"""RolloutController: of all processes one decides for a model, and writes what it decided."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from penstock.core.clock import Clock, SystemClock
from penstock.core.errors import NotReady, PenstockError, StoreError
from penstock.core.orders import Orders
from penstock.rollout.book import RoutingBook
from penstock.rollout.decide import CONTROLLER
from penstock.rollout.rollout_decider import show_routing
from penstock.rollout.stalls import Stalls
from penstock.rollout.state import ModelRouting
from penstock.rollout.subjects import lease_of, plain_routing, read_routing, route_subject
from penstock.telemetry.rollout_stats import RolloutStats

_log: Final = logging.getLogger("penstock.rollout")


class Decider(Protocol):
    """Decides for one kind of thing: a rollout, an experiment whose shares move."""

    def pace_s(self, name: str, routing: ModelRouting) -> float | None:
        """How often to look at a model, in seconds; None: there is nothing to decide or tell."""
        ...

    async def look(self, name: str, routing: ModelRouting) -> ModelRouting | None:
        """What shall be of a model; None: what there is. Called while this process decides."""
        ...

    def wrote(self, name: str, before: ModelRouting, after: ModelRouting) -> bool:
        """What ``look`` has decided was written down; whether requests now go elsewhere."""
        ...

    async def rest(self, name: str) -> None:
        """Another process decides for this model, or nobody has to; once more is no error."""
        ...


class Leases(Protocol):
    """Who says which process decides; a ControlStore."""

    async def acquire(self, lease: str, holder: str, ttl_s: float) -> bool:
        """Take a lease, or keep it for longer; False: it is another's."""
        ...

    async def release(self, lease: str, holder: str) -> None:
        """Give a lease back."""
        ...


class ControllerOptions(msgspec.Struct, frozen=True):
    """How a controller works.

    Attributes:
        ttl_s: how long a lease holds, in seconds.
        renew_s: how often it is renewed, or asked for, in seconds.
        max_backoff_s: the longest wait after a decision that could not be made true, in seconds.
    """

    ttl_s: float = 3.0
    renew_s: float = 1.0
    max_backoff_s: float = 10.0


class _Steered:
    """One model that something is decided for."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.holds = False
        self.due_ns = 0
        self.failures = 0
        self.resumes_ns = 0


class RolloutController:
    """Runs in every process; whoever has a model's lease looks, decides and orders.

    Laws: from one state at most one decision is ever written, however many processes believe they
    decide: the write is refused where the state is another by then. A model whose sources hang
    delays no other. What a process that dies had decided and not written is decided again by the
    next one.

    Args:
        book: what this process was told of the routes.
        store: gives out the leases.
        share: where decisions are ordered.
        me: this process' id.
        deciders: who decides. Each that has something to do with a model looks; of one model only
            one of them has anything to decide, the others tell of what has ended.
        stats: counts what happens.
        options: how it works.

    Concurrency: the event loop's thread only. The constructor starts nothing.
    """

    def __init__(
        self,
        book: RoutingBook,
        store: Leases,
        share: Orders,
        me: str,
        deciders: Sequence[Decider],
        stats: RolloutStats,
        *,
        options: ControllerOptions | None = None,
    ) -> None:
        self._book = book
        self._store = store
        self._share = share
        self._me = me
        self._deciders = deciders
        self._stats = stats
        self._options = options or ControllerOptions()
        self._clock: Clock = SystemClock()
        self._steered: dict[str, _Steered] = {}
        self._orders: set[asyncio.Task[None]] = set()
        self._stalls = Stalls(stats)
        self._is_running = False
        book.listen(self._on_change)
        for name in book.names():
            self._show(name)

    def start(self) -> None:
        """Begin to decide; the process follows the shared state by now."""
        self._is_running = True
        for name in self._book.names():
            self._wake(name)

    async def close(self) -> None:
        """Decide no more, and leave it to the others at once."""
        self._is_running = False
        tasks = [one.task for one in self._steered.values() if one.task is not None]
        for task in (*tasks, *self._orders):
            task.cancel()
        await asyncio.gather(*tasks, *self._orders, return_exceptions=True)
        for name, steered in self._steered.items():
            await self._leave(name, steered)
        self._steered.clear()

    async def wait_done(self, name: str) -> None:
        """Return when there is nothing left to decide or tell of a model."""
        while (steered := self._steered.get(name)) is not None and steered.task is not None:
            await asyncio.wait([steered.task])

    # What changed

    def _on_change(self, name: str, before: ModelRouting | None, now: ModelRouting) -> None:
        del before, now
        self._show(name)
        if self._is_running:
            self._wake(name)

    def _show(self, name: str) -> None:
        routing = self._book.routing(name)
        if routing is not None:
            show_routing(self._stats, name, routing)

    def _wake(self, name: str) -> None:
        steered = self._steered.get(name)
        if steered is not None:
            steered.changed.set()
        elif self._busy(name):
            steered = self._steered[name] = _Steered()
            steered.task = asyncio.create_task(self._steer(name, steered), name=f"rollout {name}")

    def _busy(self, name: str) -> dict[Decider, float]:
        """Who has something to do with a model, and how often."""
        routing = self._book.routing(name)
        if routing is None:
            return {}
        paces = {decider: decider.pace_s(name, routing) for decider in self._deciders}
        return {decider: pace_s for decider, pace_s in paces.items() if pace_s is not None}

    # One model

    async def _steer(self, name: str, steered: _Steered) -> None:
        """Look again and again, until there is nothing left to do."""
        while True:
            busy = self._busy(name)
            if not busy:
                await self._leave(name, steered)
                if not self._busy(name):
                    del self._steered[name]
                    return
                continue
            if steered.changed.is_set():
                steered.changed.clear()
                steered.due_ns = 0
            try:
                if await self._turn(name, steered, busy):
                    self._stalls.over(name)
            except PenstockError as err:
                self._stalls.tell(name, "nobody can decide", err.message)
            except Exception as err:  # noqa: BLE001  # a bug of ours must not end the deciding
                self._stalls.bug(name, err)
            await self._wait(steered, min(*busy.values(), self._options.renew_s))

    async def _turn(self, name: str, steered: _Steered, busy: Mapping[Decider, float]) -> bool:
        """Keep the lease, and look where it is time to; whether all is well as far as it goes."""
        held = steered.holds
        steered.holds = await self._store.acquire(lease_of(name), self._me, self._options.ttl_s)
        if not steered.holds:
            if held:
                await self._rest(name)
            return True
        now_ns = self._clock.monotonic_ns()
        if now_ns < max(steered.resumes_ns, steered.due_ns):
            return False
        steered.due_ns = now_ns + round(min(busy.values()) * 1e9)
        await self._rest(name, besides=busy)
        before = self._book.routing(name)
        for decider in busy:
            after = None if before is None else await decider.look(name, before)
            if before is not None and after is not None:
                await self._write(name, steered, decider, (before, after))
                return False
        return True

    async def _write(
        self,
        name: str,
        steered: _Steered,
        decider: Decider,
        step: tuple[ModelRouting, ModelRouting],
    ) -> None:
        """Order a decision, and go on as soon as it holds here: the others may take longer.

        Raises:
            StoreError: it could not be written, or nobody knows what became of it.
        """
        order = asyncio.create_task(self._order(name, decider, step), name=f"decision {name}")
        self._orders.add(order)
        order.add_done_callback(lambda one: self._ended(name, steered, one))
        changed = asyncio.create_task(steered.changed.wait())
        try:
            await asyncio.wait({order, changed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
        if order.done() and not order.cancelled():
            error = order.exception()
            if isinstance(error, StoreError):
                raise error

    async def _order(
        self, name: str, decider: Decider, step: tuple[ModelRouting, ModelRouting]
    ) -> None:
        """Write a decision where nothing has come between, and wait until it holds everywhere.

        Raises:
            NotReady: it was not written, or nobody knows what became of it.
        """
        before, after = step
        began_ns = self._clock.monotonic_ns()

        def to(value: Any) -> Any:
            if read_routing(value) != before:
                raise _Overtaken
            return plain_routing(after)

        who, why = _told(before, after)
        try:
            await self._share.order(route_subject(name), to, who=who, why=why, may_undo=False)
        except _Overtaken:
            return
        except NotReady:
            raise
        except PenstockError as err:  # a process keeps its old route; the others have the new one
            _log.error("decision on '%s' is not followed everywhere: %s", name, err.message)
            decider.wrote(name, before, after)
            return
        if decider.wrote(name, before, after):
            took_ns = self._clock.monotonic_ns() - began_ns
            self._stats.took_effect(name, took_ns)
            _log.info("route of '%s' holds everywhere after %.3f s", name, took_ns / 1e9)

    def _ended(self, name: str, steered: _Steered, order: asyncio.Task[None]) -> None:
        """Take note of what became of an order. What was not written is not tried again at once."""
        self._orders.discard(order)
        error = None if order.cancelled() else order.exception()
        if error is None:
            steered.failures = 0
            self._stalls.over(name)
        elif not isinstance(error, StoreError):
            wait_s = min(self._options.max_backoff_s, 0.5 * 2**steered.failures)
            steered.failures += 1
            steered.resumes_ns = self._clock.monotonic_ns() + round(wait_s * 1e9)
            if isinstance(error, PenstockError):
                self._stalls.tell(name, "a decision was not written", error.message)
            else:
                self._stalls.bug(name, error)

    async def _leave(self, name: str, steered: _Steered) -> None:
        """Let another process decide at once."""
        await self._rest(name)
        if steered.holds:
            steered.holds = False
            with contextlib.suppress(StoreError):  # it ends by itself
                await self._store.release(lease_of(name), self._me)

    async def _rest(self, name: str, besides: Collection[Decider] = ()) -> None:
        for decider in self._deciders:
            if decider not in besides:
                await decider.rest(name)

    async def _wait(self, steered: _Steered, wait_s: float) -> None:
        """Until the next turn: in a while, or as soon as the model's routing is another."""
        try:
            async with asyncio.timeout(wait_s):
                await steered.changed.wait()
        except TimeoutError:
            return


class _Overtaken(Exception):
    """Somebody else has changed the routing since it was looked at."""


def _told(before: ModelRouting, after: ModelRouting) -> tuple[str, str]:
    """Who decided, and why, for the store's history."""
    was, now = before.rollout, after.rollout
    if was is not None and now is not None and len(now.history) > len(was.history):
        return now.history[-1].who, now.history[-1].why
    return CONTROLLER, "what was measured"
