"""The live settings of the logging and trace extensions, and what they switch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.dialects.open_inference.log_settings import LogSettings, change_log_settings
from penstock.dialects.open_inference.trace_settings import TraceBook, TraceSettings
from penstock.server.service import ModelService
from penstock.server.share import LOGS, TRACES
from penstock.telemetry.logs import LevelSwitch
from penstock.telemetry.trace import TraceLog, TraceRule

_NAMES = {"log_info": {"INFO"}, "log_warning": {"WARNING"}, "log_error": {"ERROR", "CRITICAL"}}


class LiveSettings:
    """Holds the settings that clients may change while the server runs, and applies them.

    Where several processes share their state, a change is one of all of them.

    Concurrency: the event loop's thread only.
    """

    def __init__(self, service: ModelService, switch: LevelSwitch) -> None:
        self._service = service
        self._switch = switch
        self._traces = TraceBook()
        self._trace_log = TraceLog(self._rule)
        self._start = self._logs = LogSettings(
            log_info="INFO" in switch.enabled,
            log_warning="WARNING" in switch.enabled,
            log_error="ERROR" in switch.enabled,
            log_verbose_level=int("DEBUG" in switch.enabled),
        )

    def logs(self) -> LogSettings:
        """The logging settings now."""
        return self._logs

    async def change_logs(self, changes: Mapping[str, Any], who: str) -> None:
        """Change what is logged; all of it or, with InvalidArgument or Unsupported, nothing.

        Raises:
            StoreError: the state that processes share cannot be changed.
        """
        share = self._service.share
        if share is None:
            self._set_logs(change_log_settings(self._logs, changes))
            return

        def to(value: Any) -> Any:
            return msgspec.to_builtins(change_log_settings(self._log_settings(value), changes))

        await share.order(LOGS, to, who=who, why="log settings")

    def set_logs(self, value: Any) -> None:
        """Log as the shared state says; None: as at the start."""
        self._set_logs(self._log_settings(value))

    def _log_settings(self, value: Any) -> LogSettings:
        return self._start if value is None else msgspec.convert(value, LogSettings)

    def _set_logs(self, logs: LogSettings) -> None:
        self._logs = logs
        enabled = {"DEBUG"} if logs.log_verbose_level else set()
        for field, names in _NAMES.items():
            if getattr(logs, field):
                enabled |= names
        self._switch.enabled = enabled

    def traces(self, model: str = "") -> TraceSettings:
        """The trace settings of a model, or with "" those of all."""
        return self._traces.settings(model)

    async def change_traces(self, changes: Mapping[str, Any], model: str, who: str) -> None:
        """Change what is traced; all of it or, with InvalidArgument or Unsupported, nothing.

        Raises:
            StoreError: the state that processes share cannot be changed.
        """
        share = self._service.share
        if share is None:
            self._set_traces(self._traces.change(changes, model))
            return

        def to(value: Any) -> Any:
            book = _trace_book(value).change(changes, model)
            return {"changed": book.changed, "models": book.models}

        await share.order(TRACES, to, who=who, why="trace settings")

    def set_traces(self, value: Any) -> None:
        """Trace as the shared state says; None: as at the start."""
        self._set_traces(_trace_book(value))

    def _set_traces(self, book: TraceBook) -> None:
        self._traces = book
        self._trace_log.forget()
        recorders = [r for r in self._service.recorders if r is not self._trace_log]
        models = (self._traces.settings(name) for name in ("", *self._traces.models))
        if any(settings.active for settings in models):
            recorders.append(self._trace_log)
        self._service.recorders = recorders

    def _rule(self, model: str) -> TraceRule:
        settings = self._traces.settings(model)
        return TraceRule(
            settings.active,
            settings.trace_rate,
            settings.trace_count,
            "TENSORS" in settings.trace_level,
        )


def _trace_book(value: Any) -> TraceBook:
    """The book that was written down; None: an empty one."""
    book = TraceBook()
    if value is not None:
        book = book.change(value["changed"])
        for model, changes in value["models"].items():
            book = book.change(changes, model)
    return book
