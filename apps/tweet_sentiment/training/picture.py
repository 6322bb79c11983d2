"""Draw the comparison: ``python picture.py RESULT.json PICTURE.svg`` (needs matplotlib)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

SHIPPED, STEP = "#0b6e99", "#9aa5ad"
PANELS = (
    ("bytes", 1e-6, "size with tokenizer, MB", "{:.1f}"),
    ("p50_ms", 1, "one tweet alone, p50 ms", "{:.1f}"),
    ("tweets_s", 1, "tweets/s on one thread", "{:,.0f}"),
    ("macro_recall", 100, "macro recall on validation, %", "{:.1f}"),
)


def draw(document: dict, path: Path) -> None:
    """Draw one panel per measure, the steps from top to bottom; the last one is shipped."""
    steps = document["steps"][::-1]
    names = [step["name"] for step in steps]
    colours = [SHIPPED if at == 0 else STEP for at in range(len(steps))]
    figure, panels = plt.subplots(1, len(PANELS), figsize=(13, 4.2), sharey=True)
    for axes, (key, factor, title, form) in zip(panels, PANELS, strict=True):
        values = [step[key] * factor for step in steps]
        axes.barh(names, values, color=colours)
        for at, value in enumerate(values):
            axes.text(value, at, " " + form.format(value), va="center", fontsize=7)
        axes.set_title(title, fontsize=9, loc="left")
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.18)
        if key == "macro_recall":
            axes.set_xlim(min(values) - 2, max(values) + 1)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
