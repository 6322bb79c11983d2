"""Traces: a request's timeline as OpenTelemetry spans, or as lines of a trace log.

Nothing is measured for a trace alone: the timeline is there anyway, and spans are made from it
when the request is over. A server that traces nothing pays one attribute test a request.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from penstock.core.clock import Clock
from penstock.core.errors import LoadFailed
from penstock.core.messages import InferRequest

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

_log = logging.getLogger("penstock.trace")


class Stage(NamedTuple):
    """One stage of a request, in monotonic nanoseconds."""

    name: str
    started_ns: int
    ended_ns: int


def stages(request: InferRequest, encoded_ns: int) -> list[Stage]:
    """The stages a request went through; those it never reached are left out."""
    t = request.timeline
    marks = [
        ("decode", t.started_ns, t.decoded_ns),
        ("queue", t.queued_ns, t.executing_ns),
        ("execute", t.executing_ns, t.executed_ns),
        ("encode", t.executed_ns, encoded_ns),
    ]
    return [Stage(*mark) for mark in marks if mark[1] and mark[2] >= mark[1]]


class TraceRule(msgspec.Struct, frozen=True):
    """What is traced of one model.

    Attributes:
        active: whether anything is.
        rate: one of so many requests.
        count: how many in all; -1: no end.
        tensors: whether names, datatypes and shapes of the inputs are written too.
    """

    active: bool = False
    rate: int = 1000
    count: int = -1
    tensors: bool = False


class TraceLog:
    """Writes sampled requests to the logger ``penstock.trace``: the V2 trace extension.

    Args:
        rule_of: the rule of a model, by name.
    """

    def __init__(self, rule_of: Callable[[str], TraceRule]) -> None:
        self._rule_of = rule_of
        self._seen: dict[str, int] = {}
        self._written: dict[str, int] = {}

    def forget(self) -> None:
        """Count from zero again: the rules have changed."""
        self._seen.clear()
        self._written.clear()

    def flush(self) -> None:
        """Nothing is held back."""

    def record(self, request: InferRequest, encoded_ns: int, outcome: str) -> None:
        """Write one request's stages, if it is its turn."""
        model = request.model
        rule = self._rule_of(model)
        if not rule.active or not request.timeline.queued_ns:
            return
        seen = self._seen[model] = self._seen.get(model, 0) + 1
        written = self._written.get(model, 0)
        if seen % rule.rate or written == rule.count:
            return
        self._written[model] = written + 1
        fields: dict[str, object] = {
            "model": model,
            "id": request.id,
            "outcome": outcome,
            "timestamps": [s._asdict() for s in stages(request, encoded_ns)],
        }
        if rule.tensors:
            fields["inputs"] = [
                {"name": t.name, "datatype": str(t.dtype), "shape": list(t.shape)}
                for t in request.inputs
            ]
        _log.info("%s", json.dumps(fields), extra=fields)


class SpanRecorder:
    """Makes OpenTelemetry spans of finished requests. The exporter is set by ``OTEL_*``.

    Args:
        tracer: makes the spans.
        clock: the server's clock.
        shutdown: exports what is left and stops; blocks.
    """

    def __init__(
        self, tracer: Tracer, clock: Clock, shutdown: Callable[[], object] = lambda: None
    ) -> None:
        self._tracer = tracer
        self.flush = shutdown
        self._wall_offset_ns = clock.wall_ns() - clock.monotonic_ns()

    def record(self, request: InferRequest, encoded_ns: int, outcome: str) -> None:
        """One span for the request, one child for each stage."""
        from opentelemetry.trace import SpanKind, set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        parent = TraceContextTextMapPropagator().extract({"traceparent": request.traceparent})
        shift = self._wall_offset_ns
        span = self._tracer.start_span(
            f"infer {request.model}",
            context=parent,
            kind=SpanKind.SERVER,
            start_time=request.timeline.started_ns + shift,
            attributes={"penstock.model": request.model, "penstock.outcome": outcome},
        )
        context = set_span_in_context(span)
        for stage in stages(request, encoded_ns):
            child = self._tracer.start_span(
                stage.name, context=context, start_time=stage.started_ns + shift
            )
            child.end(stage.ended_ns + shift)
        span.end(encoded_ns + shift)


def open_telemetry(clock: Clock, exporter: Any = None) -> SpanRecorder:
    """A recorder that exports in the background, as the ``OTEL_*`` environment says.

    Args:
        clock: the server's clock.
        exporter: a span exporter; None: OTLP over HTTP.

    Raises:
        LoadFailed: OpenTelemetry is not installed; the message holds the command.
    """
    try:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        if exporter is None:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            exporter = OTLPSpanExporter()
    except ModuleNotFoundError as err:
        raise LoadFailed("tracing needs OpenTelemetry: pip install 'penstock[otel]'") from err
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return SpanRecorder(provider.get_tracer("penstock"), clock, provider.shutdown)
