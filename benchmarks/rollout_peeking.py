"""What looking each second does to a test that is made for one look, beside one that is not."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from penstock.evidence.rates import more_often, rate_interval

ALPHA = 0.01
ERROR_RATIO = 0.01
WEIGHT = 0.05
RPS = 400
LOOKS = 1200  # one a second: 20 minutes
FEWEST = 5  # errors of each version before the z-test is asked, as textbooks want it
SHOWN = 60


def peek(runs: int, seed: int = 0) -> dict:
    """Play canaries that are as good as the reference, and look each second with both tests.

    Returns, for each of SHOWN instants, the part of them that either test had rolled back by
    then, and the part that the first would roll back if it looked only once, at the end.
    """
    rng = np.random.default_rng(seed)
    new = rng.binomial(RPS, WEIGHT, (runs, LOOKS))
    trials_a, trials_b = new.cumsum(1), (RPS - new).cumsum(1)
    events_a = rng.binomial(new, ERROR_RATIO).cumsum(1)
    events_b = rng.binomial(RPS - new, ERROR_RATIO).cumsum(1)
    scores = _z_scores(events_a, trials_a, events_b, trials_b)
    beyond = scores > NormalDist().inv_cdf(1 - ALPHA)
    beyond &= (events_a >= FEWEST) & (events_b >= FEWEST)
    log_e = np.array(
        [
            [more_often(*one) for one in zip(*(side.tolist() for side in run), strict=True)]
            for run in zip(events_a, trials_a, events_b, trials_b, strict=True)
        ]
    )
    ours = log_e > math.log(1 / ALPHA)
    at = np.linspace(0, LOOKS - 1, SHOWN).astype(int)
    return {
        "runs": runs,
        "alpha": ALPHA,
        "error_ratio": ERROR_RATIO,
        "weight_percent": WEIGHT * 100,
        "rps": RPS,
        "seconds": (at + 1).tolist(),
        "fixed": np.maximum.accumulate(beyond, 1)[:, at].mean(0).tolist(),
        "ours": np.maximum.accumulate(ours, 1)[:, at].mean(0).tolist(),
        "fixed_once": float(beyond[:, -1].mean()),
    }


def _z_scores(
    events_a: np.ndarray, trials_a: np.ndarray, events_b: np.ndarray, trials_b: np.ndarray
) -> np.ndarray:
    """Return the two-proportion z-test of each look; 0 where it cannot be said."""
    pooled = (events_a + events_b) / (trials_a + trials_b)
    parts = 1 / np.maximum(trials_a, 1) + 1 / np.maximum(trials_b, 1)
    error = np.sqrt(pooled * (1 - pooled) * parts)
    difference = events_a / np.maximum(trials_a, 1) - events_b / np.maximum(trials_b, 1)
    return np.divide(difference, error, out=np.zeros_like(error), where=error > 0)


def sequence(requests: int = 20_000, seed: int = 5) -> dict:
    """Follow one stream: an interval for one look, and one that holds at all, as it grows."""
    failed = np.random.default_rng(seed).random(requests) < ERROR_RATIO
    events = failed.cumsum()
    at = np.unique(np.geomspace(20, requests, 150).astype(int))
    score = NormalDist().inv_cdf(1 - ALPHA / 2)
    both = [(int(events[n - 1]), int(n)) for n in at]
    held = [rate_interval(*one, ALPHA) for one in both]
    once = [_wilson(*one, score) for one in both]
    return {
        "alpha": ALPHA,
        "rate": ERROR_RATIO,
        "requests": at.tolist(),
        "estimate": [one.estimate for one in held],
        "held": [[one.low, one.high] for one in held],
        "once": once,
    }


def _wilson(events: int, trials: int, score: float) -> list[float]:
    """Return Wilson's interval (1927), which holds at one look."""
    rate, part = events / trials, score * score / trials
    middle = (rate + part / 2) / (1 + part)
    half = math.sqrt(rate * (1 - rate) * part + part * part / 4) / (1 + part)
    return [middle - half, middle + half]
