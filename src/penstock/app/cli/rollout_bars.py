"""Small pictures of letters: shares, intervals beside their bound, how a number went."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

_WIDTH = 40
_HALF = 10
_LEVELS, _LEVELS_ASCII = "▁▂▃▄▅▆▇█", ".:-=+*#@"


def weight_bar(weight: float, *, is_ascii: bool = False) -> Text:
    """The candidate's share of the requests, in percent, as a bar; a small one is still seen."""
    full, rest = ("#", "-") if is_ascii else ("█", "░")
    filled = round(weight / 100 * _WIDTH)
    filled = min(max(filled, 1), _WIDTH - 1) if 0 < weight < 100 else filled
    bar = Text(full * filled, "cyan").append(rest * (_WIDTH - filled), "dim")
    return bar.append(f" {weight:g} % to the candidate", "not dim")


def interval_bar(
    low: float | None, high: float | None, bound: float | None, *, is_ascii: bool = False
) -> str:
    """Where an interval lies beside its bound, which is in the middle; "": an end is not known.

    The farther end always touches the rim: what matters is on which side it is, and how far over.
    """
    if low is None or high is None or bound is None:
        return ""
    line, mark = ("=", "|") if is_ascii else ("━", "│")
    reach = max(abs(low - bound), abs(high - bound)) or 1.0
    first = _HALF + round((low - bound) / reach * _HALF)
    last = _HALF + round((high - bound) / reach * _HALF)
    places = range(2 * _HALF + 1)
    return "".join(
        mark if place == _HALF else line if first <= place <= last else " " for place in places
    )


def sparkline(values: Sequence[float], *, is_ascii: bool = False) -> str:
    """How a number went, one letter each; the largest is the highest."""
    levels = _LEVELS_ASCII if is_ascii else _LEVELS
    top = max(values, default=0.0)
    if top <= 0:
        return levels[0] * len(values)
    return "".join(levels[min(int(value / top * len(levels)), len(levels) - 1)] for value in values)
