"""The gate of a value that Prometheus computes. No statistics: looks in a row stand for them."""

from __future__ import annotations

import math

from penstock.evidence.verdict import Verdict
from penstock.rollout.gates.names import bounds_of, name_of
from penstock.rollout.seen import Reading
from penstock.rollout.spec import PrometheusGate
from penstock.rollout.state import GateResult


def read_verdict(gate: PrometheusGate, value: float | None) -> Verdict:
    """What one value alone says: within the bounds, out of them, or nothing.

    NaN and no value at all are nothing.
    """
    if value is None or math.isnan(value):
        return Verdict.NEED_MORE_DATA
    is_low = gate.min is not None and value < gate.min
    is_high = gate.max is not None and value > gate.max
    return Verdict.FAIL if is_low or is_high else Verdict.PASS


def prometheus(gate: PrometheusGate, reading: Reading | None) -> GateResult:
    """What a query says once enough looks in a row have said the same."""
    name = name_of(gate)
    if reading is None:
        return GateResult(name, Verdict.NEED_MORE_DATA, "the query was not asked yet")
    said = read_verdict(gate, reading.value)
    if said is Verdict.NEED_MORE_DATA:
        text = f"the query gives no value: {reading.why or 'not a number'}"
        return GateResult(name, said, text, bound=_bound(gate, reading.value))
    is_enough = reading.in_a_row >= gate.consecutive
    where = "within" if said is Verdict.PASS else "outside"
    return GateResult(
        name,
        said if is_enough else Verdict.NEED_MORE_DATA,
        f"the query gives {reading.value:.6g}, {where} {bounds_of(gate)}, for "
        f"{reading.in_a_row} looks in a row of {gate.consecutive}",
        bound=_bound(gate, reading.value),
        candidate=reading.value,
        samples=reading.in_a_row,
        needed=None if is_enough else gate.consecutive - reading.in_a_row,
    )


def _bound(gate: PrometheusGate, value: float | None) -> float | None:
    """The bound that is nearer to a value, or the only one there is."""
    if gate.min is None or gate.max is None or value is None:
        return gate.max if gate.min is None else gate.min
    return min((gate.min, gate.max), key=lambda bound: abs(bound - value))
