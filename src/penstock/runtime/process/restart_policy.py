"""When a worker that died is started again. A pure function of how often it died."""

from __future__ import annotations

import msgspec


class RestartOptions(msgspec.Struct, frozen=True):
    """How patient the server is with a model that crashes.

    Attributes:
        max_crashes: deaths in a row, with no batch answered between, that put a copy in quarantine.
        initial_backoff_s: wait before the second start in a row; it doubles. The first one is
            at once.
        max_backoff_s: the longest such wait.
        quarantine_s: how long a copy in quarantine is left alone before it is tried again.
    """

    max_crashes: int = 5
    initial_backoff_s: float = 0.5
    max_backoff_s: float = 30.0
    quarantine_s: float = 300.0


class Restart(msgspec.Struct, frozen=True):
    """What to do with a worker that died.

    Attributes:
        delay_s: wait so long, then start it.
        is_quarantined: it does not count as one that will be back soon.
    """

    delay_s: float
    is_quarantined: bool = False


def next_restart(crashes: int, options: RestartOptions) -> Restart:
    """Decide.

    Args:
        crashes: deaths in a row, this one included, with no batch answered between; >= 1.
        options: the limits.
    """
    if crashes >= options.max_crashes:
        return Restart(options.quarantine_s, is_quarantined=True)
    if crashes == 1:
        return Restart(0.0)
    doubled = options.initial_backoff_s * 2.0 ** (crashes - 2)
    return Restart(min(options.max_backoff_s, doubled))
