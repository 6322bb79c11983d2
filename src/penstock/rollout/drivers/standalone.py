"""A rollout without a server of ours: a driver moves the traffic, Prometheus says how it goes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import msgspec

from penstock.core.clock import Clock, SystemClock
from penstock.core.errors import ConfigError, FailedPrecondition
from penstock.lifecycle.reconciler import Reconciler
from penstock.rollout import actions
from penstock.rollout.book import RoutingBook
from penstock.rollout.controller import RolloutController
from penstock.rollout.drivers.drive import Drive, DriveOptions
from penstock.rollout.drivers.driver import TrafficDriver
from penstock.rollout.outside.http_call import check_url
from penstock.rollout.outside.sources import Sources
from penstock.rollout.reporter import Reporter
from penstock.rollout.rollout_decider import RolloutDecider
from penstock.rollout.spec import PrometheusGate, RolloutSpec
from penstock.rollout.state import ModelRouting, RolloutState
from penstock.rollout.subjects import plain_routing, read_routing, route_subject
from penstock.stores.control_store import Change, ControlStore, ServingProcess
from penstock.telemetry.rollout_stats import RolloutStats


class Parts(NamedTuple):
    """What a run works with.

    Attributes:
        driver: moves the traffic.
        store: where the rollout is kept, so that a run that was ended is taken up by the next.
        options: where the candidate's requests are counted.
        who: runs it, for the history.
        sources: who else is asked.
        clock: where time comes from.
    """

    driver: TrafficDriver
    store: ControlStore
    options: DriveOptions
    who: str
    sources: Sources = Sources()
    clock: Clock = SystemClock()


def check_standalone(spec: RolloutSpec, source: str) -> None:
    """Refuse a plan that takes a server of ours.

    Raises:
        ConfigError: it has a shadow, golden requests, gates that are no Prometheus queries, or no
            reference.
    """
    if spec.reference is None:
        raise ConfigError(f"{source}: $.reference: expected the version that answers now")
    if spec.shadow is not None:
        raise ConfigError(f"{source}: $.shadow: only a Penstock server copies requests")
    if spec.golden:
        raise ConfigError(f"{source}: $.golden: only a Penstock server asks golden requests")
    for index, gate in enumerate(spec.gates):
        if not isinstance(gate, PrometheusGate):
            raise ConfigError(
                f"{source}: $.gates[{index}]: only a Penstock server measures this: expected "
                "'metric: prometheus'"
            )
        check_url(gate.url, f"{source}: $.gates[{index}].url")


async def run(spec: RolloutSpec, parts: Parts) -> RolloutState:
    """Begin a rollout, or take it up where an earlier run was ended, and see it to its end.

    Cancelled, it leaves the traffic and the rollout as they are.

    Args:
        spec: the plan; see ``check_standalone``.
        parts: what it works with.

    Returns:
        the end.

    Raises:
        FailedPrecondition: another rollout of this model is under way.
        ConfigError: the plan can never decide, or there is no such splitter.
        NotReady, DeadlineExceeded: the splitter cannot be asked; later on that is waited for.
        StoreError: the store cannot be asked.
    """
    await parts.driver.get()

    def begun(now: ModelRouting) -> ModelRouting:
        state = now.rollout
        if state is None or state.phase.is_end:
            ready = () if spec.reference is None else (spec.reference,)
            return actions.start(spec, now, ready, parts.who, _now_ms(parts))
        if state.spec != spec:
            raise FailedPrecondition(
                f"another rollout of {spec.model}, to version {state.spec.candidate}, is under "
                "way: run that one, or end it with --abort"
            )
        return now

    return await _seen_through(spec, parts, begun)


async def abort(spec: RolloutSpec, parts: Parts, why: str) -> RolloutState:
    """Roll back the rollout that is under way, and wait until the traffic has followed.

    Raises:
        NotFound, FailedPrecondition: there is none, or it has ended.
        StoreError: the store cannot be asked.
    """
    return await _seen_through(
        spec, parts, lambda now: actions.abort(now, parts.who, why, _now_ms(parts))
    )


async def _seen_through(
    spec: RolloutSpec, parts: Parts, first: Callable[[ModelRouting], ModelRouting]
) -> RolloutState:
    """Change what there is, and follow the rollout to its end.

    Raises:
        PenstockError: what ``first`` raises; see ``run``.
    """
    ask, clock = parts.sources.ask_prometheus, parts.clock
    drive = Drive(parts.driver, spec, parts.options, clock=clock, ask_prometheus=ask)
    book = RoutingBook(drive, _hold_nothing)
    ended = asyncio.Event()
    book.listen(lambda _name, _before, now: _mark_end(now, ended))
    async with _following(book, spec.model, parts.store) as (reconciler, process_id):

        def to(value: Any) -> Any:
            return plain_routing(first(read_routing(value)))

        subject, why = route_subject(spec.model), "rollout run"
        await reconciler.order(subject, to, who=parts.who, why=why, may_undo=False)
        drive.start()
        stats = RolloutStats()
        decider = RolloutDecider(parts.store, parts.sources, stats, clock=parts.clock)
        controller = RolloutController(book, parts.store, reconciler, process_id, [decider], stats)
        reporter = Reporter(book, parts.store, process_id, drive.versions, clock=parts.clock)
        reporter.start()
        controller.start()
        try:
            await ended.wait()
            await drive.wait_settled()
            await controller.wait_done(spec.model)
        finally:
            await controller.close()
            await reporter.close()
            await drive.close()
    routing = book.routing(spec.model)
    assert routing is not None  # noqa: S101  # it has ended
    assert routing.rollout is not None  # noqa: S101  # it has ended
    return routing.rollout


@contextlib.asynccontextmanager
async def _following(
    book: RoutingBook, model: str, store: ControlStore
) -> AsyncIterator[tuple[Reconciler, str]]:
    """A book that follows what a store says of one model."""
    me = ServingProcess(uuid.uuid4().hex[:12], 0, os.getpid())

    async def apply(change: Change) -> None:
        _take(book, model, change)

    reconciler = Reconciler(store, me, apply)
    for change in await reconciler.begin():
        _take(book, model, change)
    try:
        await reconciler.follow({})
        yield reconciler, me.id
    finally:
        await reconciler.close()


def _take(book: RoutingBook, model: str, change: Change) -> None:
    if change.subject != route_subject(model):
        return
    try:
        routing = read_routing(change.value)
    except msgspec.ValidationError as err:
        raise ConfigError(f"the state file was written by another version: {err}") from err
    book.take(model, routing)


def _mark_end(routing: ModelRouting, ended: asyncio.Event) -> None:
    if routing.rollout is not None and routing.rollout.phase.is_end:
        ended.set()
    else:
        ended.clear()


def _hold_nothing(model: str, versions: frozenset[int]) -> None:
    """The versions are somebody else's."""


def _now_ms(parts: Parts) -> int:
    return parts.clock.wall_ns() // 1_000_000
