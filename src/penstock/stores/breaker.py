"""The circuit breaker's decisions: when a failing store is left alone, and when it is tried again.

Pure functions of state, outcome and time (docs/decisions/0009-prediction-store.md).
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec


class BreakerOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When to stop asking.

    Attributes:
        failures: failures in a row that open the circuit.
        open_s: how long it then stays open, in seconds; doubles with each probe that fails.
        max_open_s: the longest it stays open, in seconds.
    """

    failures: int = 5
    open_s: float = 0.5
    max_open_s: float = 15.0


class BreakerState(NamedTuple):
    """A circuit.

    Attributes:
        failures: failures in a row while closed.
        trips: how often in a row it opened; 0: it is closed.
        since_ns: when the last failure was counted, or the last probe let through; monotonic.
        shut_until_ns: no call before this instant; the first one after it is a probe.
    """

    failures: int = 0
    trips: int = 0
    since_ns: int = 0
    shut_until_ns: int = 0


CLOSED = BreakerState()
"""All is well: every call goes through."""


def admit(state: BreakerState, now_ns: int, options: BreakerOptions) -> BreakerState | None:
    """The state after a call is let through now; None: it is not.

    Of an open circuit one call at a time gets through, as a probe: a probe that never ends costs
    one more wait, nothing else.
    """
    if not state.trips:
        return state
    if now_ns < state.shut_until_ns:
        return None
    return state._replace(since_ns=now_ns, shut_until_ns=now_ns + _wait_ns(state.trips, options))


def fail(
    state: BreakerState, started_ns: int, now_ns: int, options: BreakerOptions
) -> BreakerState:
    """The state after a call that began at ``started_ns`` failed now.

    A call that began before the last failure was counted is part of the same trouble and changes
    nothing: a hundred lookups that wait for one slow answer are one failure, not a hundred.
    """
    if started_ns < state.since_ns:
        return state
    if state.trips:
        return _open(state.trips + 1, now_ns, options)
    if state.failures + 1 < options.failures:
        return BreakerState(state.failures + 1, since_ns=now_ns)
    return _open(1, now_ns, options)


def _open(trips: int, now_ns: int, options: BreakerOptions) -> BreakerState:
    return BreakerState(0, trips, now_ns, now_ns + _wait_ns(trips, options))


def _wait_ns(trips: int, options: BreakerOptions) -> int:
    doublings = min(trips - 1, 30)
    return int(min(options.open_s * 2**doublings, options.max_open_s) * 1e9)
