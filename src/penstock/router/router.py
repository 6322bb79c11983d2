"""Router: which version answers a request."""

from __future__ import annotations

import asyncio
from typing import Protocol

import msgspec

from penstock.core.clock import Clock, SystemClock
from penstock.core.errors import (
    Cancelled,
    DeadlineExceeded,
    ErrorCode,
    LoadFailed,
    NotFound,
    NotReady,
    PenstockError,
)
from penstock.core.ids import LATEST, RequestIds, VersionChoice
from penstock.core.messages import InferRequest, InferResponse
from penstock.lifecycle.handle import ServableHandle
from penstock.router.route_table import REQUEST_ID, RouteEntry, RouteTable

MAX_PREDICTION_ID_CHARS = 256
"""A longer id is not taken for a prediction's: it is kept, and told with the outcome."""


class Lender(Protocol):
    """Who lends handles; the Manager."""

    def handle(self, name: str, choice: VersionChoice) -> ServableHandle:
        """Lend the version asked for."""
        ...


class Fetcher(Protocol):
    """Who brings models that are loaded on demand; ``OnDemand``."""

    async def fetch(self, request: InferRequest) -> ServableHandle:
        """Lend the version a request wants, once it is in memory."""
        ...


class Router:
    """Sends a request to the version it asks for. A ``core.InferenceClient``.

    A number wins; a label is looked up, in the model's route first. Where it names neither, the
    model's route chooses; without one, the newest version that is ready answers.

    Laws: what a route chose is answered by another version where its own is not ready, if there
    is any that is: of the route's variants the first one, else the newest. A request that names a
    version or a label is neither shared out, nor counted, nor copied for a shadow.

    Args:
        lender: lends what is loaded.
        fetcher: brings what is not; None: such a request fails.
        table: the routes; None: there are none.
        clock: for the latencies of the variants.
    """

    def __init__(
        self,
        lender: Lender,
        fetcher: Fetcher | None = None,
        table: RouteTable | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._lend = lender.handle
        self._fetcher = fetcher
        self._table = RouteTable() if table is None else table
        self._entries = self._table.entries
        self._now_ns = (clock or SystemClock()).monotonic_ns
        self._ids = RequestIds()

    async def infer(self, request: InferRequest) -> InferResponse:
        """Answer one request, holding its version for as long as that takes.

        Where a route of more than one variant chose, or one of an experiment, the answer has the
        parameter ``variant``; where of an experiment, ``prediction_id`` too: the request's own
        id, else its ``X-Request-ID``, else one made here, as for one of more than 256 characters.

        Raises:
            NotFound: no such model, version or label.
            NotReady: it exists but does not serve.
            LoadFailed, Overloaded, DeadlineExceeded: it was not loaded on demand.
            PenstockError: whatever the servable answers.
        """
        choice = request.choice
        if self._entries:
            entry = self._entries.get(request.model)
            if entry is not None and choice.version is None:
                if choice.label is None:
                    return await self._infer_routed(entry, request)
                choice = entry.labels.get(choice.label, choice)
        try:
            handle = self._lend(request.model, choice)
        except NotReady:
            if self._fetcher is None:
                raise
            handle = await _fetch(self._fetcher, request, choice)
        with handle:
            return await handle.servable.infer(request)

    async def _infer_routed(self, entry: RouteEntry, request: InferRequest) -> InferResponse:
        """Answer one request whose version its model's route chooses."""
        wanted, key = entry.choose(request)
        failure: NotReady | None = None
        for index in entry.orders[wanted]:
            try:
                handle = self._lend(request.model, entry.choices[index])
            except (NotFound, NotReady):
                continue
            started_ns = request.timeline.started_ns if index == wanted else 0
            try:
                response = await self._ask(entry, index, handle, request, started_ns)
            except NotReady as err:  # every copy of it is in quarantine, or it has just gone
                failure = err
                continue
            if entry.names_variant:
                self._mark(entry, index, request, response)
            if index != wanted:
                entry.stats[wanted].fallbacks += 1
            elif entry.is_followed:
                self._tell(entry, index, key, request, response)
            return response
        return await self._infer_other(entry, wanted, request, failure)

    async def _infer_other(
        self, entry: RouteEntry, wanted: int, request: InferRequest, failure: NotReady | None
    ) -> InferResponse:
        """Answer a request while no variant does: by what else is ready, or is loaded on demand.

        Raises:
            NotReady: ``failure``, of a variant that was asked and cannot answer: none other can.
        """
        try:
            handle = self._lend(request.model, LATEST)
        except NotReady:
            if self._fetcher is None:
                raise
            handle = await _fetch_any(self._fetcher, request, entry.choices[wanted])
        index = entry.variant_of(handle.id.version, wanted)
        if index != wanted:
            entry.stats[wanted].fallbacks += 1
        if index is None or failure is not None:
            with handle:
                if index is not None and failure is not None:
                    raise failure
                return await handle.servable.infer(request)
        response = await self._ask(entry, index, handle, request, 0)
        if entry.names_variant:
            self._mark(entry, index, request, response)
        return response

    async def _ask(
        self,
        entry: RouteEntry,
        index: int,
        handle: ServableHandle,
        request: InferRequest,
        started_ns: int,
    ) -> InferResponse:
        """Have a variant answer, and count what comes of it.

        Its latency is counted from ``started_ns``; 0: from now.
        """
        entry.stats[index].requests += 1
        recorder = entry.recorders[index]
        started_ns = started_ns or self._now_ns()
        code: str = ErrorCode.INTERNAL
        try:
            with handle:
                servable = handle.servable
                response = await servable.infer(request)
            code = ""
        except PenstockError as err:
            code = Cancelled.code if _came_too_late(request, err) else err.code
            raise
        except asyncio.CancelledError:
            code = Cancelled.code
            raise
        finally:
            if code:
                recorder.failed(code)
        latency_ns = self._now_ns() - started_ns
        recorder.answered(latency_ns, response.outputs, servable.signature)
        return response

    def _mark(
        self, entry: RouteEntry, index: int, request: InferRequest, response: InferResponse
    ) -> None:
        """Say in an answer who gave it, and what to tell its outcome by."""
        route = entry.route
        marked = {**response.parameters, "variant": route.variants[index].name}
        if route.experiment:
            sent = request.headers.get(REQUEST_ID, b"").decode("latin-1")
            known = request.id or sent
            is_taken = 0 < len(known) <= MAX_PREDICTION_ID_CHARS
            marked["prediction_id"] = known if is_taken else self._ids.new()
        response.parameters = marked

    def _tell(
        self,
        entry: RouteEntry,
        index: int,
        key: bytes | None,
        request: InferRequest,
        response: InferResponse,
    ) -> None:
        """Tell who wants to know of an answer by the variant that was chosen."""
        table, route = self._table, entry.route
        if route.experiment and key is not None and table.exposures is not None:
            variant, text = route.variants[index].name, key.decode("latin-1")
            prediction_id = str(response.parameters["prediction_id"])
            table.exposures.exposed(request.model, route, variant, text, prediction_id)
        is_shadowed = route.shadow is not None and self._entries.get(request.model) is entry
        if is_shadowed and table.tee is not None:  # by the route that holds now
            table.tee.offer(request.model, route, request, response)


async def _fetch(fetcher: Fetcher, request: InferRequest, choice: VersionChoice) -> ServableHandle:
    """The version that is meant, if it is loaded on demand; the deadline that holds meanwhile
    holds for all of the request's way.

    Raises:
        PenstockError: see ``OnDemand.fetch``.
    """
    wanted = request
    if choice is not request.choice:
        wanted = msgspec.structs.replace(request, choice=choice)
    handle = await fetcher.fetch(wanted)
    request.deadline = wanted.deadline
    return handle


async def _fetch_any(
    fetcher: Fetcher, request: InferRequest, choice: VersionChoice
) -> ServableHandle:
    """The version that is meant, else any that came along with it."""
    try:
        return await _fetch(fetcher, request, choice)
    except (NotFound, NotReady, LoadFailed):
        return await _fetch(fetcher, request, LATEST)


def _came_too_late(request: InferRequest, error: PenstockError) -> bool:
    """Whether a request's own time was over before its variant was given it."""
    deadline = request.deadline
    return (
        isinstance(error, DeadlineExceeded)
        and deadline is not None
        and deadline.expired(request.timeline.queued_ns)
    )
