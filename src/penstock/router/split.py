"""Split: shares keys out among names by weight. Pure: the same in every process, for ever.

Weighted rendezvous hashing: each name draws a number from the hash of salt, name and key, scaled
by its weight, and the best draw wins. No table, no buckets, nothing to keep.

Source: Schindelhauer and Schomaker, "Weighted Distributed Hash Tables", 2005; Resch,
"New Hashing Algorithms for Data Storage", 2015.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

_DIGEST_BYTES = 8
_SCALE = 2.0**-64
_END = "\0"
_MAX_DRAWN = 4096
_MAX_KEY_BYTES = 64


class Split:
    """One plan: names, their weights, and a salt.

    Laws: the choice is a function of (key, plan); raising one weight, or lowering the others,
    moves no key away from its name; names draw keys in proportion to their weights; another salt
    chooses independently; a weight of 0 is never chosen.

    Args:
        shares: name and weight (>= 0, at least one above 0), names unique.
        salt: plans of one salt choose alike.

    The hash is BLAKE2b of 64 bits over ``salt NUL name NUL key``, big-endian; ``u`` is it plus a
    half over 2**64, the draw ``-ln(u) / weight``, and the smallest draw wins. Callers come again:
    what up to 4,096 short keys drew is remembered, which changes nothing but the time it takes.

    Concurrency: any thread.
    """

    __slots__ = ("_bounds", "_drawn", "_indices", "_only", "_parts")

    def __init__(self, shares: Sequence[tuple[str, float]], salt: str) -> None:
        drawing = [at for at, (_, weight) in enumerate(shares) if weight > 0]
        self._parts = tuple(
            (at, hashlib.blake2b(_prefix(salt, name), digest_size=_DIGEST_BYTES).copy, -1 / weight)
            for at, (name, weight) in ((at, shares[at]) for at in drawing)
        )
        self._only = drawing[0] if len(drawing) == 1 else -1
        self._indices = tuple(drawing)
        self._drawn: dict[bytes, int] = {}
        self._bounds = tuple(accumulate(shares[at][1] for at in drawing))

    def of_key(self, key: bytes) -> int:
        """The index of the name that a key belongs to."""
        if self._only >= 0:
            return self._only
        drawn = self._drawn.get(key)
        return self._draw(key) if drawn is None else drawn

    def _draw(self, key: bytes) -> int:
        log, read = math.log, int.from_bytes  # big-endian
        chosen, least = self._indices[0], math.inf
        for index, start, scale in self._parts:
            hashed = start()
            hashed.update(key)
            score = log((read(hashed.digest()) + 0.5) * _SCALE) * scale
            if score < least:
                chosen, least = index, score
        if len(self._drawn) >= _MAX_DRAWN:
            self._drawn.clear()
        if len(key) <= _MAX_KEY_BYTES:
            self._drawn[key] = chosen
        return chosen

    def of_draw(self, drawn: float) -> int:
        """The index that a random number of [0, 1) falls to, for what has no key."""
        if self._only >= 0:
            return self._only
        at = bisect_right(self._bounds, drawn * self._bounds[-1])
        return self._indices[min(at, len(self._indices) - 1)]


def _prefix(salt: str, name: str) -> bytes:
    return f"{salt}{_END}{name}{_END}".encode("utf-8", "surrogatepass")
