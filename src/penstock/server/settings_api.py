"""The live settings of the logging and trace extensions, and what they switch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.dialects.open_inference.log_settings import LogSettings, change_log_settings
from penstock.dialects.open_inference.trace_settings import TraceBook, TraceSettings
from penstock.server.service import ModelService
from penstock.telemetry.logs import LevelSwitch
from penstock.telemetry.trace import TraceLog, TraceRule

_NAMES = {"log_info": {"INFO"}, "log_warning": {"WARNING"}, "log_error": {"ERROR", "CRITICAL"}}


class LiveSettings:
    """Holds the settings that clients may change while the server runs, and applies them.

    Concurrency: the event loop's thread only.
    """

    def __init__(self, service: ModelService, switch: LevelSwitch) -> None:
        self._service = service
        self._switch = switch
        self._traces = TraceBook()
        self._trace_log = TraceLog(self._rule)
        self._logs = LogSettings(
            log_info="INFO" in switch.enabled,
            log_warning="WARNING" in switch.enabled,
            log_error="ERROR" in switch.enabled,
            log_verbose_level=int("DEBUG" in switch.enabled),
        )

    def logs(self) -> LogSettings:
        """The logging settings now."""
        return self._logs

    def change_logs(self, changes: Mapping[str, Any]) -> LogSettings:
        """Change what is logged; all of it or, with InvalidArgument or Unsupported, nothing."""
        self._logs = logs = change_log_settings(self._logs, changes)
        enabled = {"DEBUG"} if logs.log_verbose_level else set()
        for field, names in _NAMES.items():
            if getattr(logs, field):
                enabled |= names
        self._switch.enabled = enabled
        return logs

    def traces(self, model: str = "") -> TraceSettings:
        """The trace settings of a model, or with "" those of all."""
        return self._traces.settings(model)

    def change_traces(self, changes: Mapping[str, Any], model: str = "") -> TraceSettings:
        """Change what is traced; all of it or, with InvalidArgument or Unsupported, nothing."""
        self._traces = self._traces.change(changes, model)
        self._trace_log.forget()
        recorders = [r for r in self._service.recorders if r is not self._trace_log]
        models = (self._traces.settings(name) for name in ("", *self._traces.models))
        if any(settings.active for settings in models):
            recorders.append(self._trace_log)
        self._service.recorders = recorders
        return self._traces.settings(model)

    def _rule(self, model: str) -> TraceRule:
        settings = self._traces.settings(model)
        return TraceRule(
            settings.active,
            settings.trace_rate,
            settings.trace_count,
            "TENSORS" in settings.trace_level,
        )
