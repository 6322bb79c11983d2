"""TrafficControl: what operators do with routes and rollouts, whichever way they ask."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

import msgspec

from penstock.core.clock import Clock
from penstock.core.errors import FailedPrecondition, NotFound
from penstock.rollout import actions
from penstock.rollout.book import RoutingBook
from penstock.rollout.experiment.control import ExperimentControl
from penstock.rollout.plan import title
from penstock.rollout.reporter import VersionsOf
from penstock.rollout.spec import RolloutSpec, ShadowStage
from penstock.rollout.spec_urls import check_hosts
from penstock.rollout.state import ModelRouting, RolloutState
from penstock.rollout.subjects import plain_routing, read_routing, route_subject
from penstock.router.compare import check_permitted
from penstock.router.route import Route, Shadow
from penstock.server.control_api.answers import (
    Disagreements,
    HistoryEntry,
    RolloutAnswer,
    RouteAnswer,
)
from penstock.server.control_api.history import history_of
from penstock.server.control_api.looking import Look
from penstock.server.control_api.route_rules import check_new_route, check_version
from penstock.server.control_api.telling import (
    PAUSED,
    rollout_answer,
    route_answer,
    seen,
    told_needs,
)
from penstock.server.experiment_api import ExperimentApi
from penstock.server.share import Share
from penstock.stores.control_store import Change

Action: TypeAlias = Literal["pause", "resume", "promote", "abort"]
A = TypeVar("A", RouteAnswer, RolloutAnswer)

MAX_CHANGES = 5000
"""Changes that a history is read from, the last ones."""


class Records(Protocol):
    """Where changes are kept; a ControlStore."""

    async def history(self, subject: str = "", limit: int = 100) -> list[Change]:
        """The last changes of a subject, the youngest first."""
        ...


class Plant(NamedTuple):
    """What the operations work on.

    Attributes:
        book: what this process was told.
        share: changes it in all processes.
        records: the changes of the past.
        look: what is known of a model now.
        versions_of: what answers here.
        known: the versions that the repository holds of a model; raises NotFound where there is
            no such model.
        clock: where time comes from.
        notes: what is said to whoever changes something.
        comparisons: the functions that shadows may be told to compare with.
        outbound_hosts: who may be asked for metrics and told of rollouts.
    """

    book: RoutingBook
    share: Share
    records: Records
    look: Callable[[str, ModelRouting], Awaitable[Look]]
    versions_of: VersionsOf
    known: Callable[[str], Collection[int]]
    clock: Clock
    notes: tuple[str, ...] = ()
    comparisons: Collection[str] = ()
    outbound_hosts: tuple[str, ...] = ()


class TrafficControl:
    """Changes and tells who answers the requests of which model.

    A change returns when every serving process that lives has made it true. Besides what is said
    below, each call raises StoreError where the control store cannot be asked, and the first error
    of a process that could not follow a change: its route stays there, the others have the new one.

    Args:
        plant: what it works on.

    Attributes:
        experiments: what operators do with experiments.
        experiment_api: the same over REST.

    Concurrency: the event loop's thread only.
    """

    def __init__(
        self, plant: Plant, experiments: ExperimentControl, experiment_api: ExperimentApi
    ) -> None:
        self._plant = plant
        self.experiments = experiments
        self.experiment_api = experiment_api

    # Routes

    async def routes(self) -> list[RouteAnswer]:
        """Every model that has a route, by name."""
        names = [name for name in self._plant.book.names() if self._routing(name).route is not None]
        return [await self.route(name) for name in names]

    async def route(self, model: str) -> RouteAnswer:
        """Who answers the requests of a model.

        Raises:
            NotFound: there is no such model.
        """
        routing = self._routing(model)
        if routing == ModelRouting():
            self._plant.known(model)
        counted = None
        if routing.route is not None and routing.route.stage:
            look = await self._plant.look(model, routing)
            counted = seen(routing.route, look.evidence.counts, look.reports)
        return route_answer(model, routing, self._plant.versions_of(model).ready, counted)

    async def set_route(
        self, model: str, route: Route, who: str = "", why: str = ""
    ) -> RouteAnswer:
        """Replace the route of a model. Where it has several variants or a shadow, what each of
        them does is counted from now on.

        Args:
            model: the model's name.
            route: the new one; its ``stage`` and ``experiment`` are given here.
            who: asks.
            why: for what reason.

        Raises:
            NotFound: there is no such model.
            InvalidArgument: the route is wrong, or names a version that is not there, or a
                function to compare with that this server does not permit.
            FailedPrecondition: a rollout or an experiment is under way.
        """
        check_new_route(model, route, self._plant.known(model))
        self._check_permitted(route.shadow)
        if len(route.variants) > 1 or route.shadow is not None:
            route = msgspec.structs.replace(route, stage=f"route/{uuid.uuid4().hex[:12]}")
        change = _routed(route, model)
        await self._order(model, change, who, why or "route set")
        return self._noted(await self.route(model))

    async def clear_route(self, model: str, who: str = "", why: str = "") -> RouteAnswer:
        """Have the newest version answer.

        Raises:
            NotFound: there is no such model.
            FailedPrecondition: a rollout or an experiment is under way.
        """
        if self._routing(model) == ModelRouting():
            self._plant.known(model)
        await self._order(model, _routed(None, model), who, why or "route cleared")
        return await self.route(model)

    def _check_permitted(self, shadow: Shadow | ShadowStage | None) -> None:
        if shadow is not None:
            check_permitted(shadow.compare, self._plant.comparisons)

    # Rollouts

    async def start(self, spec: RolloutSpec, who: str = "") -> RolloutAnswer:
        """Begin a rollout.

        Args:
            spec: the plan.
            who: asks.

        Raises:
            NotFound: there is no such model.
            ConfigError: the plan can never decide.
            InvalidArgument: a version is not there, or a function to compare with, or a host that
                would be asked, is not permitted.
            FailedPrecondition: see ``actions.start``.
        """
        plant, model = self._plant, spec.model
        known = plant.known(model)
        check_version(model, spec.candidate, known, "candidate")
        if spec.reference is not None:
            check_version(model, spec.reference, known, "reference")
        self._check_permitted(spec.shadow)
        now_ms = self._now_ms()

        def started(now: ModelRouting) -> ModelRouting:
            begun = actions.start(spec, now, plant.versions_of(model).ready, who, now_ms)
            check_hosts(spec, plant.outbound_hosts)  # its URLs are known to be some by now
            return begun

        await self._order(model, started, who, f"rollout of version {spec.candidate}")
        answer = await self.rollout(model)
        return self._noted(msgspec.structs.replace(answer, notes=told_needs(answer.spec)))

    async def rollouts(self) -> list[RolloutAnswer]:
        """The last rollout of every model that had one, by the model's name."""
        names = self._plant.book.names()
        return [await self.rollout(name) for name in names if self._routing(name).rollout]

    async def rollout(self, model: str) -> RolloutAnswer:
        """Where the last rollout of a model stands.

        Raises:
            NotFound: there was none, or no such model.
        """
        routing, state = self._rollout(model)
        evidence, reports = await self._plant.look(model, routing)
        return rollout_answer(state, routing, evidence, reports, self._now_ms())

    async def act(
        self,
        model: str,
        action: Action,
        who: str = "",
        why: str = "",
        *,
        full: bool = False,
        stage: str = "",
    ) -> RolloutAnswer:
        """Change where a rollout stands.

        Args:
            model: the model's name.
            action: what is done.
            who: asks.
            why: for what reason; "": none given.
            full: with ``promote``: all requests to the candidate at once.
            stage: the one that it has to be in, as ``RolloutAnswer.stage`` says it, paused or not;
                "": any.

        Raises:
            NotFound: there is no rollout, or no such model.
            FailedPrecondition: that cannot be done where it stands, or it is in another stage.
        """
        self._rollout(model)
        now_ms = self._now_ms()

        def changed(now: ModelRouting) -> ModelRouting:
            _check_stage(now, stage)
            match action:
                case "pause":
                    return actions.pause(now, who, why, now_ms)
                case "resume":
                    return actions.resume(now, who, why, now_ms)
                case "promote":
                    return actions.promote(now, who, why, now_ms, to_bake=full)
                case "abort":
                    return actions.abort(now, who, why, now_ms)

        await self._order(model, changed, who, why or action)
        return await self.rollout(model)

    async def history(self, model: str) -> list[HistoryEntry]:
        """Who changed what of a model's route and rollouts, when and why, the oldest first.

        Raises:
            NotFound: there is no such model.
        """
        changes = await self._plant.records.history(route_subject(model), MAX_CHANGES)
        if not changes:
            self._plant.known(model)
        return history_of(reversed(changes))

    async def disagreements(self, model: str) -> Disagreements:
        """Where the shadow of a model differs most from what the clients got.

        Raises:
            NotFound: there is no such model.
        """
        routing = self._routing(model)
        if routing == ModelRouting():
            self._plant.known(model)
        shadow = None if routing.route is None else routing.route.shadow
        evidence, _ = await self._plant.look(model, routing)
        pairs = evidence.counts.pairs
        return Disagreements(
            model,
            None if shadow is None else shadow.version,
            "" if pairs is None else pairs.comparison,
            () if pairs is None else tuple(pairs.examples),
        )

    # How

    async def _order(
        self, model: str, to: Callable[[ModelRouting], ModelRouting], who: str, why: str
    ) -> None:
        def plain(before: Any) -> Any:
            return plain_routing(to(read_routing(before)))

        subject = route_subject(model)
        await self._plant.share.order(subject, plain, who=who, why=why, may_undo=False)

    def _routing(self, model: str) -> ModelRouting:
        return self._plant.book.routing(model) or ModelRouting()

    def _rollout(self, model: str) -> tuple[ModelRouting, RolloutState]:
        routing = self._routing(model)
        if routing.rollout is None:
            self._plant.known(model)
            raise NotFound(
                f"there was no rollout of '{model}': begin one with POST /v2/rollouts or "
                "'penstock rollout start'"
            )
        return routing, routing.rollout

    def _noted(self, answer: A) -> A:
        """An answer with the server's own notes."""
        return msgspec.structs.replace(answer, notes=(*answer.notes, *self._plant.notes))

    def _now_ms(self) -> int:
        return self._plant.clock.wall_ns() // 1_000_000


def _check_stage(now: ModelRouting, stage: str) -> None:
    """Refuse what somebody asks of a stage that is left already.

    Raises:
        FailedPrecondition: the rollout is in another one.
    """
    state = now.rollout
    if not stage or state is None:
        return
    at = title(state.spec, state.phase, state.step)
    if stage.removesuffix(PAUSED) != at:
        raise FailedPrecondition(
            f"the rollout of '{state.spec.model}' is not at '{stage}', it is at '{at}': look at it "
            "before you go on"
        )


def _routed(route: Route | None, model: str) -> Callable[[ModelRouting], ModelRouting]:
    return lambda now: actions.set_route(now, route, model)
