"""Counts: what was seen of each variant within one stage; sums of several processes' add up."""

from __future__ import annotations

from typing import Any

import msgspec

GROWTH = 1.1
"""Ratio of two neighbouring bounds of the latency buckets."""

LATENCY_BOUNDS_S = tuple(20e-6 * GROWTH**i for i in range(151))
"""Upper bounds of the latency buckets, in seconds: 20 us to 33 s; one more bucket is unbounded."""

NUM_LATENCIES = len(LATENCY_BOUNDS_S) + 1
MAX_CLASSES = 50
"""Further classes are counted as ``OTHER``."""

OTHER = "(other)"
MAX_EXAMPLES = 20
"""Disagreements that are kept in each process, the largest differences first."""


class VariantCounts(msgspec.Struct):
    """What one variant did.

    Attributes:
        requests: answered, or failed by the server's or the model's fault.
        errors: of those, the failed ones.
        codes: the failed ones by error code.
        refused: requests that failed by the client's own fault; not among ``requests``.
        latency: answered requests by server-side latency, ``NUM_LATENCIES`` buckets.
        predictions: answers by predicted class, or by decile of the score (``"0.3"`` for 0.3 to
            0.4); of the first output that has either, and of one row of it, drawn at random.
        non_finite: answers with a NaN or an infinity in a floating point output.
        uncounted: answers of which neither could be told.
    """

    requests: int = 0
    errors: int = 0
    codes: dict[str, int] = {}
    refused: int = 0
    latency: list[int] = msgspec.field(default_factory=lambda: [0] * NUM_LATENCIES)
    predictions: dict[str, int] = {}
    non_finite: int = 0
    uncounted: int = 0


class Example(msgspec.Struct, frozen=True):
    """Two answers to one request that differ.

    Attributes:
        difference: how much, in the comparison's unit; larger is worse.
        request_id: of the request.
        at_ms: when, in milliseconds since 1970.
        inputs, primary, shadow: the tensors as JSON values, cut to some hundred characters.
    """

    difference: float
    request_id: str
    at_ms: int
    inputs: str
    primary: str
    shadow: str


class PairCounts(msgspec.Struct):
    """What came of the copies for a shadow.

    A copy counts once, however many rows it has: they are not independent.

    Attributes:
        pairs: copies compared, of one row or more.
        agreed: sum of the parts of their rows that agree, 0 to 1 for each copy.
        difference_sum, difference_squares: sum of the means of their rows' differences, and of
            the means of these differences' squares.
        comparison: the comparison that was made, such as ``class``; "": none yet.
        errors: copies that the shadow failed to answer.
        shed: copies that were not made, or not waited for, for want of room or time.
        latency: of the answered copies, ``NUM_LATENCIES`` buckets.
        examples: the largest differences, the largest first.
        incomparable: copies whose two answers could not be compared: they share no output, have
            no row, or the comparison failed.
    """

    pairs: int = 0
    agreed: float = 0.0
    difference_sum: float = 0.0
    difference_squares: float = 0.0
    comparison: str = ""
    errors: int = 0
    shed: int = 0
    latency: list[int] = msgspec.field(default_factory=lambda: [0] * NUM_LATENCIES)
    examples: list[Example] = []
    incomparable: int = 0


class StageCounts(msgspec.Struct):
    """What was seen of one model within one stage.

    Attributes:
        stage: the route's.
        variants: by the variant's name.
        pairs: of the shadow; None: there is none.
        unkeyed: requests that had no routing key where the route wants one.
    """

    stage: str = ""
    variants: dict[str, VariantCounts] = {}
    pairs: PairCounts | None = None
    unkeyed: int = 0


def add(one: StageCounts, other: StageCounts) -> StageCounts:
    """Both counts of the same stage together; neither is changed."""
    names = one.variants.keys() | other.variants.keys()
    nothing = VariantCounts()
    return StageCounts(
        one.stage,
        {
            name: _added(one.variants.get(name, nothing), other.variants.get(name, nothing))
            for name in sorted(names)
        },
        _pairs_added(one.pairs, other.pairs),
        one.unkeyed + other.unkeyed,
    )


def _pairs_added(one: PairCounts | None, other: PairCounts | None) -> PairCounts | None:
    if one is None or other is None:
        return one or other
    both: PairCounts = _added(one, other)
    both.comparison = one.comparison or other.comparison
    both.examples = sorted(both.examples, key=lambda each: -each.difference)[:MAX_EXAMPLES]
    return both


def _added(one: Any, other: Any) -> Any:
    """A struct of counts whose fields are the sums, bucket by bucket and key by key."""
    names = one.__struct_fields__
    return type(one)(*(_sum(name, getattr(one, name), getattr(other, name)) for name in names))


def _sum(name: str, left: Any, right: Any) -> Any:
    if isinstance(left, dict):
        keys = sorted(left.keys() | right.keys())
        return {key: left.get(key, 0) + right.get(key, 0) for key in keys}
    if name == "latency":
        return [a + b for a, b in zip(left, right, strict=True)]
    return left + right
