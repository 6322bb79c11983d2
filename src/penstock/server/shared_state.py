"""SharedState: makes true in this process what is desired of all."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from penstock.core.errors import InvalidArgument, PenstockError
from penstock.lifecycle.source_adapter import EVERY_MODEL, ModelControl, Override
from penstock.repository.manifest_file import apply_overrides
from penstock.server.settings_api import LiveSettings
from penstock.server.share import LOGS, TRACES, model_of, routed_model
from penstock.stores.control_store import Change

if TYPE_CHECKING:
    from penstock.rollout.book import RoutingBook

_log = logging.getLogger("penstock.control")


def manifest_override(overrides: Mapping[str, Any] | None) -> Override | None:
    """The fields of a load request as ``ModelControl.load`` takes them."""
    return None if overrides is None else functools.partial(apply_overrides, overrides=overrides)


class SharedState:
    """Applies changes of the shared state to the parts of one process.

    Args:
        control: of the models.
        live: the log and trace settings; asked only when they change.
        initial: the names that are loaded at the start where nothing else is desired.
        is_explicit: whether models are loaded and unloaded by hand; if not, what is desired of
            them is left alone.
        book: of the routes; asked only when one changes.
    """

    def __init__(
        self,
        control: ModelControl,
        live: Callable[[], LiveSettings],
        initial: Sequence[str],
        *,
        is_explicit: bool,
        book: Callable[[], RoutingBook],
    ) -> None:
        self._control = control
        self._live = live
        self._initial = frozenset(initial)
        self._is_explicit = is_explicit
        self._book = book
        self._unread: dict[str, PenstockError] = {}

    def resume(self, changes: Sequence[Change]) -> None:
        """Start with what is desired, before the models are looked at."""
        loaded: dict[str, Override | None] = {}
        unloaded: list[str] = []
        for change in changes:
            name = model_of(change.subject)
            if name is None:
                self._resume_other(change)
            elif change.value is not None and change.value["loaded"]:
                loaded[name] = manifest_override(change.value["overrides"])
            elif change.value is not None:
                unloaded.append(name)
        if self._is_explicit:
            self._control.resume(loaded, unloaded)
        elif loaded or unloaded:
            _log.warning("loads and unloads by hand are left alone: model_control is not explicit")

    def _resume_other(self, change: Change) -> None:
        """As ``_set``; a route that cannot be read keeps the server from no other thing."""
        try:
            self._set(change)
        except InvalidArgument as error:
            _log.error("%s", error.message)
            self._unread[change.subject] = error

    def failed(self, changes: Sequence[Change]) -> dict[str, PenstockError]:
        """Of the changes a start resumed, those that could not be made true, by subject."""
        found = dict(self._unread)
        for change in changes:
            name = model_of(change.subject)
            error = None if name is None else self._control.failure(name)
            if error is not None:
                found[change.subject] = error
        return found

    async def apply(self, change: Change) -> None:
        """Make one change true.

        Raises:
            PenstockError: it cannot be.
        """
        name = model_of(change.subject)
        if name is None:
            self._set(change)
        elif self._is_explicit:
            await self._apply_model(name, change.value)

    async def _apply_model(self, name: str, value: Mapping[str, Any] | None) -> None:
        is_initial = name in self._initial or EVERY_MODEL in self._initial
        if value is None and is_initial:
            await self._control.load(name)
        elif value is None or not value["loaded"]:
            await self._control.unload(name)
        else:
            await self._control.load(name, manifest_override(value["overrides"]))

    def _set(self, change: Change) -> None:
        name = routed_model(change.subject)
        if name is not None:
            take_routing(self._book(), name, change.value)
        elif change.subject == LOGS:
            self._live().set_logs(change.value)
        elif change.subject == TRACES:
            self._live().set_traces(change.value)


def take_routing(book: RoutingBook, name: str, value: Any) -> None:
    """Route a model in this process as it is written down; None: as there never was a route.

    Raises:
        InvalidArgument: the value cannot be read here; the route stays as it was.
    """
    from penstock.rollout.subjects import read_routing
    from penstock.router.route import check_route

    try:
        routing = read_routing(value)
        if routing.route is not None:
            check_route(routing.route)
    except (msgspec.ValidationError, InvalidArgument) as err:
        raise InvalidArgument(
            f"the route of model '{name}' cannot be read by this version of Penstock, and the one "
            f"before it stays: {err}"
        ) from err
    book.take(name, routing)
