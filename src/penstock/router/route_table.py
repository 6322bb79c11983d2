"""RouteTable: the route of each model in this process, made ready to be looked at per request."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Protocol

import msgspec

from penstock.core.ids import VersionChoice
from penstock.core.messages import InferRequest, InferResponse
from penstock.router.counts import PairCounts, StageCounts
from penstock.router.route import Route, check_route
from penstock.router.routing_key import key_reader, matcher
from penstock.router.split import Split
from penstock.router.variant_recorder import StageRecorder
from penstock.telemetry.route_stats import RouteStats

REQUEST_ID = b"x-request-id"


class Tee(Protocol):
    """Who gives copies of answered requests to shadows; ``ShadowTee``. Nothing of it raises."""

    def follow(self, model: str, route: Route | None) -> None:
        """Take a model's route; None: it has none."""
        ...

    def offer(
        self, model: str, route: Route, request: InferRequest, response: InferResponse
    ) -> None:
        """Take note of a request that one of its variants has answered."""
        ...

    def counts(self, model: str) -> PairCounts | None:
        """A copy of what was seen of the shadow in this stage; None: there is none."""
        ...


class Exposures(Protocol):
    """Who keeps which caller met which variant of an experiment."""

    def exposed(self, model: str, route: Route, variant: str, key: str, prediction_id: str) -> None:
        """A caller got an answer of the variant that the shares gave it; must not raise.

        Args:
            model: the model's name.
            route: the route, of an experiment.
            variant: the name of the variant.
            key: the routing key, its bytes read as Latin-1; "" where the route wants none.
            prediction_id: what the answer carries, to tell its outcome by.
        """
        ...


class HeaderNames:
    """The headers that some route looks at, in lower case.

    A door that drops what nobody wants asks for each header whether it is one of them.

    Attributes:
        names: the headers.
        lengths: of the names, to rule most of the others out at once.
    """

    __slots__ = ("lengths", "names")

    def __init__(self) -> None:
        self.names: frozenset[bytes] = frozenset()
        self.lengths: frozenset[int] = frozenset()

    def set(self, names: frozenset[bytes]) -> None:
        """From now on these, and no others."""
        self.names, self.lengths = names, frozenset(map(len, names))


class RouteEntry:
    """One model's route, ready to choose by. It does not change: another route is another entry.

    Attributes:
        route: the same.
        choices: how each variant's version is asked for, in the order of the variants.
        labels: how the version of each label is asked for.
        orders: for each variant whom to ask in turn: itself, then the others.
        recorder: counts of its stage; shared with the entry before it where the stage is the same.
        recorders: of it, those of the variants.
        stats: the running numbers of the variants.
        names_variant: whether answers say which variant gave them.
        is_followed: whether somebody wants to know of each answer.

    Args:
        model: the model's name.
        route: a route that ``check_route`` lets pass.
        recorder: see above.
        stats: of the process.
        draw: a random number of [0, 1), for requests without a key.
    """

    __slots__ = (
        "_draw",
        "_model",
        "_read_key",
        "_rules",
        "_split",
        "_stats",
        "choices",
        "is_followed",
        "labels",
        "names_variant",
        "orders",
        "recorder",
        "recorders",
        "route",
        "stats",
    )

    def __init__(
        self,
        model: str,
        route: Route,
        recorder: StageRecorder,
        stats: RouteStats,
        draw: Callable[[], float],
    ) -> None:
        variants = route.variants
        at = {one.name: index for index, one in enumerate(variants)}
        everyone = tuple(range(len(variants)))
        self.route = route
        self.choices = tuple(VersionChoice(version=one.version) for one in variants)
        self.labels = {
            label: VersionChoice(version=version) for label, version in route.labels.items()
        }
        self.orders = tuple((one, *(x for x in everyone if x != one)) for one in everyone)
        self.recorder = recorder
        self.recorders = tuple(recorder.variant(one.name) for one in variants)
        self.stats = tuple(stats.variant(model, one.version, one.name) for one in variants)
        self.names_variant = len(variants) > 1 or bool(route.experiment)
        self.is_followed = bool(route.experiment) or route.shadow is not None
        self._model = model
        self._stats = stats
        self._rules = tuple((matcher(rule), at[rule.variant]) for rule in route.rules)
        self._read_key = key_reader(route.key)
        self._split = Split([(one.name, one.weight) for one in variants], route.salt)
        self._draw = draw

    def choose(self, request: InferRequest) -> tuple[int, bytes | None]:
        """Who is to answer a request that names neither version nor label.

        Returns:
            the index of the variant, and the key that it was assigned by: b"" where the route
            wants none; None: it was not assigned by a key that the route wants.
        """
        for matches, index in self._rules:
            if matches(request):
                return index, None
        if self._read_key is None:
            return self._split.of_draw(self._draw()), b""
        key = self._read_key(request)
        if key:
            return self._split.of_key(key), key
        self.recorder.num_unkeyed += 1
        self._stats.count_unkeyed(self._model)
        return self._split.of_draw(self._draw()), None

    def variant_of(self, version: int, wanted: int) -> int | None:
        """Whose version that is: of the variant ``wanted``, else of the first; None: nobody's."""
        order = self.orders[wanted]
        return next((one for one in order if self.choices[one].version == version), None)

    def headers(self) -> frozenset[bytes]:
        """The headers it looks at."""
        route = self.route
        names = {route.key.header, *(rule.header for rule in route.rules)}
        looked_at = {name.encode() for name in names if name}
        return frozenset(looked_at | {REQUEST_ID} if route.experiment else looked_at)


class RouteTable:
    """The routes of this process.

    Law: a request sees one route from its start to its end; the next one sees the one set last.
    Counts go on as long as the stage stays the same, and begin anew with another one; what is
    still under way then counts for the stage it began in.

    Args:
        stats: the running numbers of the process; None: nobody reads them.
        draw: a random number of [0, 1), for requests without a key.

    Attributes:
        entries: by model; for the router.
        headers: what the routes look at.
        tee: who copies for shadows; None: nobody.
        exposures: who keeps the exposures of experiments; None: nobody.

    Concurrency: the event loop's thread only; never blocks.
    """

    def __init__(
        self,
        stats: RouteStats | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.entries: dict[str, RouteEntry] = {}
        self.headers = HeaderNames()
        self.tee: Tee | None = None
        self.exposures: Exposures | None = None
        self._stats = stats or RouteStats()
        self._draw = draw

    def __len__(self) -> int:
        """How many models have a route."""
        return len(self.entries)

    def set(self, model: str, route: Route | None) -> None:
        """Route a model from the next request on; None: its newest version answers.

        Raises:
            InvalidArgument: see ``check_route``; the route stays as it was.
        """
        if route is None:
            self.entries.pop(model, None)
        else:
            check_route(route)
            before = self.entries.get(model)
            recorder = StageRecorder(route.stage)
            if before is not None and before.route.stage == route.stage:
                recorder = before.recorder
            self.entries[model] = RouteEntry(model, route, recorder, self._stats, self._draw)
        if self.tee is not None:
            self.tee.follow(model, route)
        self.headers.set(
            frozenset[bytes]().union(*(one.headers() for one in self.entries.values()))
        )

    def route(self, model: str) -> Route | None:
        """Who shares the requests of a model; None: its newest version answers."""
        entry = self.entries.get(model)
        return None if entry is None else entry.route

    def counts(self, model: str) -> StageCounts | None:
        """A copy of what was counted since the route's stage began; None: there is no route."""
        entry = self.entries.get(model)
        if entry is None:
            return None
        pairs = None if self.tee is None else self.tee.counts(model)
        return msgspec.structs.replace(entry.recorder.counts(), pairs=pairs)
