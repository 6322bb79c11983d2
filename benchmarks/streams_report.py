"""What the rounds of the streams benchmark come to: medians, ratios, markdown."""

from __future__ import annotations

from benchmarks.percentiles import spread
from benchmarks.report import cell, heading, table

FIGURES = {
    "rate": "records/s",
    "cpu_s_per_1000": "CPU s per 1,000",
    "broker_cpu_s_per_1000": "broker's CPU s per 1,000",
    "half_rate": "half load, records/s",
    "p50_ms": "p50, ms",
    "p99_ms": "p99, ms",
    "send_p99_ms": "producer's own p99, ms",
}
PAIRS = [
    (ours, over)
    for over in ("engine, loop", "engine, served", "faststream", "faststream-2")
    for ours in ("penstock, redis", "penstock, nats")
]

Rounds = list[dict[str, dict[str, float]]]


def summarise(rounds: Rounds) -> dict[str, dict[str, dict]]:
    """Return the spread of each figure of each arm that has it."""
    labels = list(dict.fromkeys(label for one in rounds for label in one))
    found: dict[str, dict[str, dict]] = {}
    for label in labels:
        there = [one[label] for one in rounds if label in one]
        found[label] = {
            figure: spread([one[figure] for one in there])
            for figure in FIGURES
            if all(figure in one for one in there)
        }
    return found


def ratios(rounds: Rounds) -> dict[str, dict]:
    """Return the spreads of records/s over records/s, each of one round."""
    found = {}
    for ours, over in PAIRS:
        values = [
            one[ours]["rate"] / one[over]["rate"] for one in rounds if ours in one and over in one
        ]
        if values:
            found[f"{ours} / {over}"] = spread(values)
    return found


def streams_markdown(document: dict) -> str:
    """Return the page of the result."""
    return "\n".join([heading(document), *map(_workload, document["workloads"].items())])


def _workload(item: tuple[str, dict]) -> str:
    name, found = item
    rows = [
        [label, *(cell(figures.get(figure)) for figure in FIGURES)]
        for label, figures in found["arms"].items()
    ]
    pairs = [[pair, cell(figure)] for pair, figure in found["ratios"].items()]
    left_out = [f"Left out: {label}: {why}\n" for label, why in found["left_out"].items()]
    return "\n".join(
        [
            f"## {name}: {found['model']}, {found['records']:,} records\n",
            table(["Arm", *FIGURES.values()], rows),
            "",
            table(["records/s over records/s, same round", ""], pairs),
            "",
            *left_out,
            *(f"- {label}: {note}" for label, note in found["notes"].items()),
            "",
        ]
    )
