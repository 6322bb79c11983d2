"""What the rounds of the batch benchmark come to: medians, ratios, markdown."""

from __future__ import annotations

from benchmarks.percentiles import spread
from benchmarks.report import cell, heading, table

FIGURES = {
    "rows_s": "rows/s",
    "whole_rows_s": "rows/s with its start",
    "start_s": "start, s",
    "cpu_s": "CPU s",
    "peak_rss_mib": "peak RSS, MiB",
}


def summarise(rounds: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, dict]]:
    """Return the spread of each figure of each arm."""
    labels = list(dict.fromkeys(label for one in rounds for label in one))
    return {
        label: {
            figure: spread([one[label][figure] for one in rounds if label in one])
            for figure in FIGURES
        }
        for label in labels
    }


def ratios(rounds: list[dict[str, dict[str, float]]], cores: int) -> dict[str, dict]:
    """Return the spreads of rows/s over rows/s, each of one round."""
    ours = (f"penstock-{cores}", "penstock-processes")
    rates = summarise(rounds)
    there = [label for label in ours if label in rates]
    best = max(there, key=lambda label: rates[label]["rows_s"]["median"], default="")
    pairs = [("penstock-1", "floor-1"), ("penstock-1", "files-1")]
    pairs += [(label, f"floor-{cores}") for label in dict.fromkeys(ours)]
    pairs += [(best, peer) for peer in ("ray-data", "spark-pandas", "spark-udf")]
    found = {}
    for figure, what in (("rows_s", ""), ("whole_rows_s", ", with their starts")):
        for over, under in pairs:
            values = [
                one[over][figure] / one[under][figure]
                for one in rounds
                if over in one and under in one
            ]
            if values:
                found[f"{over} / {under}{what}"] = spread(values)
    return found


def batch_markdown(document: dict) -> str:
    """Return the page of the result."""
    return "\n".join([heading(document), *map(_workload, document["workloads"].items())])


def _workload(item: tuple[str, dict]) -> str:
    data, found = item
    rows = [
        [label, *(cell(figures[figure]) for figure in FIGURES)]
        for label, figures in found["arms"].items()
    ]
    lines = [f"## {data}: {found['rows']:,} rows, {found['model']}\n"]
    lines += [table(["Arm", *FIGURES.values()], rows), ""]
    lines += [table(["Ratio of rows/s, by round", ""], _ratio_rows(found)), ""]
    lines += [
        "Rows/s and CPU seconds count from an arm's first batch (a job's: from when its batch size "
        "is known) until all is written; the start is what was before: listing, the model, "
        "workers, the search for a batch size. Sessions of Ray and Spark are up before that. The "
        "floors write nothing, but files-1.\n",
        *(f"- {label}: {note}" for label, note in found["notes"].items() if label in found["arms"]),
        *(f"- left out: {label}: {why}" for label, why in found["left_out"].items()),
        "",
    ]
    return "\n".join(lines)


def _ratio_rows(found: dict) -> list[list[str]]:
    return [[name, cell(value)] for name, value in found["ratios"].items()]
