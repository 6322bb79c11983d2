"""Metric families as plain values: what one process hands to another, and how they become one.

Counters and the buckets of histograms are summed. Gauges are summed, too, unless their metric says
otherwise: ``max`` and ``min`` over the processes that have it, or ``state``: a state holds where it
holds in any process, but ``ready`` only where it holds in all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

Merge: TypeAlias = Literal["sum", "max", "min", "state"]

_READY = ("state", "ready")
_OF_THE_LIBRARY: Mapping[str, Merge] = {
    "python_info": "max",
    "process_start_time_seconds": "min",
    "process_max_fds": "min",
}
"""Metrics that the Prometheus client adds and that make no sense as sums."""


class MetricSample(NamedTuple):
    """One line of the page.

    Attributes:
        name: the line's name, ``_bucket`` and the like included.
        labels: label name and value, in order.
        value: the number.
    """

    name: str
    labels: tuple[tuple[str, str], ...]
    value: float


class Family(NamedTuple):
    """All lines of one metric.

    Attributes:
        name: the metric's name, without ``_total``.
        kind: its Prometheus type.
        meaning: one sentence for people.
        samples: its lines.
    """

    name: str
    kind: str
    meaning: str
    samples: tuple[MetricSample, ...]


def read_families(metrics: Iterable[Any]) -> list[Family]:
    """What a collector of the Prometheus client gives, as plain values."""
    return [
        Family(
            metric.name,
            metric.type,
            metric.documentation,
            tuple(
                MetricSample(s.name, tuple(s.labels.items()), float(s.value))
                for s in metric.samples
            ),
        )
        for metric in metrics
    ]


def merge_families(pages: Sequence[Iterable[Family]], rules: Mapping[str, Merge]) -> list[Family]:
    """The pages of several processes as one.

    Args:
        pages: one for each process.
        rules: how the gauges of a metric become one, by the name of the family.

    Law: the sum of a counter, or of a bucket, is the sum over the pages; merging one page changes
    nothing; the order of the pages changes no number.
    """
    heads: dict[str, Family] = {}
    values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], list[float]]] = {}
    for page in pages:
        for family in page:
            heads.setdefault(family.name, family)
            lines = values.setdefault(family.name, {})
            for name, labels, value in family.samples:
                lines.setdefault((name, labels), []).append(value)
    merged = []
    for name, head in heads.items():
        rule = rules.get(name) or _OF_THE_LIBRARY.get(name, "sum")
        samples = tuple(
            MetricSample(line, labels, _one(rule, labels, numbers, len(pages)))
            for (line, labels), numbers in values[name].items()
        )
        merged.append(head._replace(samples=samples))
    return merged


def _one(
    rule: Merge, labels: tuple[tuple[str, str], ...], numbers: list[float], num_pages: int
) -> float:
    if rule == "sum":
        return sum(numbers)
    if rule == "state" and _READY in labels:
        return min(numbers) if len(numbers) == num_pages else 0.0
    return min(numbers) if rule == "min" else max(numbers)


class PlainCollector:
    """Gives families to a registry of the Prometheus client."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Any]:
        """All of them."""
        from prometheus_client.core import Metric

        for family in self._families:
            metric = Metric(family.name, family.meaning, family.kind)
            for sample in family.samples:
                metric.add_sample(sample.name, dict(sample.labels), sample.value)
            yield metric
