"""One stream of yes and no against one rate: what the tests of this floor are made of.

The e-value is the likelihood of what came, averaged over all rates with Jeffreys' prior
Beta(1/2, 1/2), divided by its likelihood at the rate in question. If that rate is the true one,
the e-value is a martingale that starts at 1, so the chance that it ever reaches 1/alpha is at most
alpha, however often one looks (Ville 1939; Robbins 1970, "Statistical methods related to the law
of the iterated logarithm"). It depends on the counts alone: nothing is kept between two looks.
"""

from __future__ import annotations

import math

_LOG_PI = math.log(math.pi)


def log_mixture(events: float, trials: float) -> float:
    """Log of the likelihood of ``events`` in ``trials``, averaged over all rates.

    Args:
        events: how often it came, 0 <= events <= trials; an expected number need not be whole.
        trials: out of how many.
    """
    misses = trials - events
    return math.lgamma(events + 0.5) + math.lgamma(misses + 0.5) - math.lgamma(trials + 1) - _LOG_PI


def log_likelihood(events: float, trials: float, rate: float) -> float:
    """Log of the likelihood of ``events`` in ``trials`` at ``rate``; minus infinity: impossible."""
    misses = trials - events
    if (events > 0 and rate <= 0) or (misses > 0 and rate >= 1):
        return -math.inf
    of_events = events * math.log(rate) if events else 0.0
    return of_events + (misses * math.log1p(-rate) if misses else 0.0)


def log_e_value(events: float, trials: float, rate: float) -> float:
    """Log e-value against "it comes with ``rate``"; large where it comes more or less often."""
    return log_mixture(events, trials) - log_likelihood(events, trials, rate)
