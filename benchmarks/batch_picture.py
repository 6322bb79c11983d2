"""Draw rows/s of each arm: ``python batch_picture.py RESULT.json PICTURE.svg`` (matplotlib)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

OURS, OTHER, BOUND = "#0b6e99", "#9aa5ad", "#d7dde1"


def _colour(label: str) -> str:
    if label.startswith("penstock"):
        return OURS
    return BOUND if label.startswith(("floor", "files")) else OTHER


def main() -> None:
    """Draw a panel for each workload."""
    document = json.loads(Path(sys.argv[1]).read_text())
    workloads = document["workloads"]
    figure, panels = plt.subplots(1, len(workloads), figsize=(4.6 * len(workloads), 3.2))
    row = [panels] if len(workloads) == 1 else panels
    for axes, (data, found) in zip(row, workloads.items(), strict=True):
        arms = {label: one["rows_s"] for label, one in reversed(found["arms"].items())}
        medians = [one["median"] for one in arms.values()]
        below = [one["median"] - one["min"] for one in arms.values()]
        above = [one["max"] - one["median"] for one in arms.values()]
        colours = [_colour(label) for label in arms]
        axes.barh(list(arms), medians, xerr=[below, above], color=colours, ecolor="#444", capsize=2)
        for at, value in enumerate(medians):
            axes.text(value, at + 0.3, f" {value:,.0f}", va="center", fontsize=7)
        axes.set_title(f"{data}, {found['rows']:,} rows: rows/s", fontsize=9, loc="left")
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    caption = f"{document['date'][:10]}, python -m benchmarks.batch"
    figure.text(0.01, 0.01, caption, fontsize=6, color="#555")
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    figure.savefig(sys.argv[2], metadata={"Date": None})


if __name__ == "__main__":
    main()
