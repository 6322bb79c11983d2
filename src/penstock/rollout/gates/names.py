"""Gates in a few words, as tables, histories and events name them."""

from __future__ import annotations

from typing import assert_never

from penstock.rollout.sentences import percent, points
from penstock.rollout.spec import (
    AgreementGate,
    ErrorRateGate,
    Gate,
    LatencyGate,
    OutcomeGate,
    PredictionShiftGate,
    PrometheusGate,
)

_MAX_QUERY_CHARS = 60


def name_of(gate: Gate) -> str:
    """A gate with its bound, such as ``error_rate <= +0.5 points``."""
    match gate:
        case ErrorRateGate(max_increase=increase):
            return f"error_rate <= {points(increase)}"
        case LatencyGate(quantile=quantile, max_ratio=ratio):
            return f"p{quantile * 100:g} latency <= {ratio:g} times"
        case AgreementGate(min_rate=rate):
            return f"agreement >= {percent(rate)}"
        case PredictionShiftGate(max_distance=distance):
            return f"prediction_shift <= {distance:g}"
        case OutcomeGate(name=name, max_loss=loss):
            return f"{name} loses <= {loss:g}"
        case PrometheusGate(query=query):
            return f"prometheus {query[:_MAX_QUERY_CHARS]} {bounds_of(gate)}"
        case _:
            assert_never(gate)


def bounds_of(gate: PrometheusGate) -> str:
    """The bounds of a query's value, such as ``>= 1 and <= 5``."""
    low = "" if gate.min is None else f">= {gate.min:g}"
    high = "" if gate.max is None else f"<= {gate.max:g}"
    return " and ".join(part for part in (low, high) if part)
