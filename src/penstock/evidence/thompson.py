"""How requests are shared among variants while it is learnt which one is best."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping

DRAWS = 4000
"""Draws of the rates; the shares are within about one percent point of what more would give."""


def shares(
    successes: Mapping[str, float],
    failures: Mapping[str, float],
    floor_ratio: float,
    seed: int,
) -> dict[str, float]:
    """The share of each variant: the chance that it is the best one, by what was counted.

    Thompson sampling (Thompson 1933; Chapelle and Li 2011) in batches: rates are drawn from the
    posteriors Beta(1 + successes, 1 + failures), and the share is how often each was the largest.
    A pure function of its arguments.

    Args:
        successes: of each variant, >= 0; discounted ones need not be whole.
        failures: the same; variants that stand in one of the two only have 0 in the other.
        floor_ratio: what every variant gets at least; above an even share it is an even share.
        seed: of the draws.

    Returns:
        shares that sum to 1, by name in ascending order.
    """
    names = sorted(successes.keys() | failures.keys())
    if not names:
        return {}
    draw = random.Random(seed).betavariate  # noqa: S311  # a simulation, no secret
    posteriors = [
        (name, 1 + successes.get(name, 0.0), 1 + failures.get(name, 0.0)) for name in names
    ]
    wins = Counter(
        max((draw(alpha, beta), name) for name, alpha, beta in posteriors)[1] for _ in range(DRAWS)
    )
    floor = min(max(floor_ratio, 0.0), 1 / len(names))
    rest = 1 - floor * len(names)
    return {name: floor + rest * wins[name] / DRAWS for name in names}
