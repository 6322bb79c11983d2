"""Draw it: ``python tweet_picture.py RESULT.json PICTURE.svg`` (matplotlib, nothing else)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

COLOURS = {"penstock": "#0b6e99", "service": "#3f9d8f", "floor": "#d7dde1", "tutorial": "#9aa5ad"}


def _panel(axes, bars: list[tuple[str, str, dict]], title: str) -> None:
    bars = bars[::-1]
    names = [f"{arm}: {key}" for arm, key, _ in bars]
    values = [figure for _, _, figure in bars]
    medians = [value["median"] for value in values]
    errors = [
        [value["median"] - value["min"] for value in values],
        [value["max"] - value["median"] for value in values],
    ]
    colours = [COLOURS.get(arm, "#9aa5ad") for arm, _, _ in bars]
    axes.barh(names, medians, xerr=errors, color=colours, ecolor="#444", capsize=2)
    for at, value in enumerate(medians):
        text = f" {value:,.0f}" if value >= 100 else f" {value:.2g}"
        axes.text(value, at + 0.25, text, va="center", fontsize=7)
    axes.set_title(title, fontsize=9, loc="left")
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def draw(document: dict, path: Path) -> None:
    """Draw throughput without the hits, the hits beside the misses, and p99."""
    loads = [
        (arm, key, load)
        for arm, found in document["arms"].items()
        for key, load in found.items()
        if "tweets_s" in load and "open loop" not in key
    ]
    rates = [(arm, key, load["tweets_s"]) for arm, key, load in loads if "hits" not in key]
    service = [(arm, key, load["tweets_s"]) for arm, key, load in loads if arm == "service"]
    tails = [(arm, key, load["p99_ms"]) for arm, key, load in loads if "p99_ms" in load]
    panels = [
        (rates, "tweets/s, each computed"),
        (service, "service: tweets/s, misses and hits"),
        (tails, "p99 ms"),
    ]
    figure, grid = plt.subplots(1, 3, figsize=(15, 5))
    for axes, (bars, title) in zip(grid, panels, strict=True):
        _panel(axes, bars, title)
    grid[2].set_xscale("log")
    machine = document["machine"]
    caption = (
        f"{document['date'][:10]}, commit {(document['commit'] or 'none')[:12]}, "
        f"{machine['cores']} cores, median and range of {document['settings']['rounds']} rounds"
    )
    figure.text(0.01, 0.005, caption, fontsize=7, color="#555")
    figure.tight_layout(rect=(0, 0.02, 1, 1))
    figure.savefig(path)


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
