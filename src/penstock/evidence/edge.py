"""Where a log e-value reaches its level."""

from __future__ import annotations

import math
from collections.abc import Callable

_STEPS = 200
_PRECISION_RATIO = 1e-4


def edge(excess: Callable[[float], float], centre: float, step: float, limit: float) -> float:
    """The point from the centre outwards where ``excess`` becomes positive.

    False position on the root of the height above the centre, which is nearly a straight line,
    kept from creeping as in the ITP method (Oliveira and Takahashi 2020); halving every third
    time, and where the height is infinite.

    Args:
        excess: grows from the centre outwards.
        centre: where it is lowest, and negative.
        step: about how far the point is; negative: below the centre.
        limit: the last point there is, in the direction of the step.

    Returns:
        a point outside: a range from the centre to it is never too short, and too long by a ten
        thousandth at most. The limit, where that is inside too.
    """
    lowest = excess(centre)
    aim = math.sqrt(-lowest)

    def height(at: float) -> float:
        return math.sqrt(max(excess(at) - lowest, 0.0)) - aim

    nearest = min if step > 0 else max
    inside, below, outside = centre, -aim, nearest(centre + step, limit)
    while (above := height(outside)) < 0:
        if outside == limit:
            return limit
        step *= 2
        inside, below, outside = outside, above, nearest(centre + step, limit)
    for count in range(_STEPS):
        width = outside - inside
        if abs(width) <= _PRECISION_RATIO * abs(outside - centre):
            break
        part = 0.5 if count % 3 == 2 or above == math.inf else below / (below - above)
        nudge = min(0.2 * abs(width / (outside - centre)), abs(0.5 - part))
        at = inside + (part + math.copysign(nudge, 0.5 - part)) * width
        if (found := height(at)) < 0:
            inside, below = at, found
        else:
            outside, above = at, found
    return outside
