"""Traces: stages, the trace log, and spans."""

import json
import logging
import sys

import numpy as np
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from penstock.core.errors import LoadFailed
from penstock.core.messages import InferRequest, Timeline
from penstock.core.tensor import Tensor
from penstock.telemetry.trace import (
    SpanRecorder,
    Stage,
    TraceLog,
    TraceRule,
    open_telemetry,
    stages,
)
from penstock.testing.fake_clock import FakeClock

ENCODED_NS = 90
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT_ID = "b7ad6b7169203331"


def request(*, executed: bool = True, traceparent: str = "") -> InferRequest:
    timeline = Timeline(10)
    timeline.decoded_ns, timeline.queued_ns = 20, 30
    if executed:
        timeline.executing_ns, timeline.executed_ns = 50, 80
    x = Tensor.from_array("x", np.zeros((1, 2), np.float32))
    return InferRequest("m", (x,), id="7", timeline=timeline, traceparent=traceparent)


def test_stages() -> None:
    assert stages(request(), ENCODED_NS) == [
        Stage("decode", 10, 20),
        Stage("queue", 30, 50),
        Stage("execute", 50, 80),
        Stage("encode", 80, 90),
    ]
    assert [s.name for s in stages(request(executed=False), ENCODED_NS)] == ["decode"]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> list[str]:
    monkeypatch.setattr(logging.getLogger("penstock"), "propagate", True)
    caplog.set_level(logging.INFO, "penstock.trace")
    return caplog.messages


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (TraceRule(), []),
        (TraceRule(active=True, rate=1), [1, 2, 3, 4, 5, 6, 7]),
        (TraceRule(active=True, rate=3), [3, 6]),
        (TraceRule(active=True, rate=1, count=2), [1, 2]),
        (TraceRule(active=True, rate=2, count=1), [2]),
        (TraceRule(active=True, rate=1, count=0), []),
    ],
)
def test_sampling(
    rule: TraceRule, expected: list[int], caplog: pytest.LogCaptureFixture, written: list[str]
) -> None:
    log = TraceLog(lambda _: rule)
    seen = []
    for number in range(1, 8):
        caplog.clear()
        log.record(request(), ENCODED_NS, "ok")
        if caplog.messages:
            seen.append(number)
    assert seen == expected


def test_a_line_of_the_trace_log(caplog: pytest.LogCaptureFixture, written: list[str]) -> None:
    log = TraceLog(lambda _: TraceRule(active=True, rate=1, count=1, tensors=True))
    log.record(InferRequest("m", ()), ENCODED_NS, "not_found")
    assert caplog.messages == []
    log.record(request(), ENCODED_NS, "ok")
    log.record(request(), ENCODED_NS, "ok")
    (line,) = caplog.messages
    assert json.loads(line) == {
        "model": "m",
        "id": "7",
        "outcome": "ok",
        "timestamps": [s._asdict() for s in stages(request(), ENCODED_NS)],
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2]}],
    }
    log.forget()
    log.record(request(), ENCODED_NS, "ok")
    assert len(caplog.messages) == 2


def spans(of: InferRequest) -> dict[str, ReadableSpan]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    clock = FakeClock(monotonic_ns=0, wall_ns=1_000)
    SpanRecorder(provider.get_tracer("penstock"), clock).record(of, ENCODED_NS, "ok")
    provider.shutdown()
    return {span.name: span for span in exporter.get_finished_spans()}


def test_one_span_with_a_child_for_each_stage() -> None:
    found = spans(request(traceparent=f"00-{TRACE_ID}-{PARENT_ID}-01"))
    root = found.pop("infer m")
    assert list(found) == ["decode", "queue", "execute", "encode"]
    assert root.parent is not None
    assert root.context is not None
    assert f"{root.parent.span_id:016x}" == PARENT_ID
    assert f"{root.context.trace_id:032x}" == TRACE_ID
    assert dict(root.attributes or {}) == {"penstock.model": "m", "penstock.outcome": "ok"}
    assert (root.start_time, root.end_time) == (1010, 1090)
    for child in found.values():
        assert child.parent is not None
        assert child.parent.span_id == root.context.span_id
    times = [(child.start_time, child.end_time) for child in found.values()]
    assert times == [(1010, 1020), (1030, 1050), (1050, 1080), (1080, 1090)]


@pytest.mark.parametrize("traceparent", ["", "nonsense", f"00-{'0' * 32}-{PARENT_ID}-01"])
def test_without_a_context_it_starts_a_trace(traceparent: str) -> None:
    assert spans(request(traceparent=traceparent))["infer m"].parent is None


def test_open_telemetry_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(LoadFailed) as caught:
        open_telemetry(FakeClock())
    assert caught.value.message == "tracing needs OpenTelemetry: pip install 'penstock[otel]'"
