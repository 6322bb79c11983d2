"""Numbers in sentences for people."""

from __future__ import annotations

import math


def percent(ratio: float) -> str:
    """A share: ``5.1 %``."""
    return f"{_short(ratio * 100)} %"


def points(difference: float) -> str:
    """A difference of two shares, with its sign: ``+0.5 points``, in percent points."""
    return f"{'+' if difference >= 0 else '-'}{_short(abs(difference) * 100)} points"


def at_level(alpha: float) -> str:
    """How certain something is: ``at the level 0.2 %``."""
    return f"at the level {percent(alpha)}"


def ms(seconds: float) -> str:
    """A latency: ``12.3 ms``."""
    return f"{_short(seconds * 1000)} ms" if math.isfinite(seconds) else "unknown"


def duration(seconds: float) -> str:
    """A time: ``45 s``, ``12 min``, ``3.5 h``, ``2 days``."""
    for unit, size_s in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size_s:
            return f"{seconds / size_s:.3g} {unit}"
    return f"{seconds:.3g} s"


def about(count: float) -> str:
    """A number of requests of which the first two digits matter: ``4,900``."""
    if count < 100:
        return f"{math.ceil(count):,}"
    size = 10 ** (math.floor(math.log10(count)) - 1)
    return f"{math.ceil(count / size) * size:,}"


def _short(value: float) -> str:
    """Three digits that matter, but no exponent."""
    if not math.isfinite(value):
        return "?"
    if value == 0:
        return "0"
    places = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{min(places, 8)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
