"""SharedState: makes true in this process what is desired of all."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from penstock.core.errors import PenstockError
from penstock.lifecycle.source_adapter import EVERY_MODEL, ModelControl, Override
from penstock.repository.manifest_file import apply_overrides
from penstock.server.settings_api import LiveSettings
from penstock.server.share import LOGS, TRACES, model_of
from penstock.stores.control_store import Change

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
    """

    def __init__(
        self,
        control: ModelControl,
        live: Callable[[], LiveSettings],
        initial: Sequence[str],
        *,
        is_explicit: bool,
    ) -> None:
        self._control = control
        self._live = live
        self._initial = frozenset(initial)
        self._is_explicit = is_explicit

    def resume(self, changes: Sequence[Change]) -> None:
        """Start with what is desired, before the models are looked at."""
        loaded: dict[str, Override | None] = {}
        unloaded: list[str] = []
        for change in changes:
            name = model_of(change.subject)
            if name is None:
                self._set(change)
            elif change.value is not None and change.value["loaded"]:
                loaded[name] = manifest_override(change.value["overrides"])
            elif change.value is not None:
                unloaded.append(name)
        if self._is_explicit:
            self._control.resume(loaded, unloaded)
        elif loaded or unloaded:
            _log.warning("loads and unloads by hand are left alone: model_control is not explicit")

    def failed(self, changes: Sequence[Change]) -> dict[str, PenstockError]:
        """Of the changes a start resumed, those that could not be made true, by subject."""
        found: dict[str, PenstockError] = {}
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
        if change.subject == LOGS:
            self._live().set_logs(change.value)
        elif change.subject == TRACES:
            self._live().set_traces(change.value)
