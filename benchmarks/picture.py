"""Draw a result: ``python picture.py RESULT.json PICTURE.svg`` (needs matplotlib, nothing else)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

OURS, OTHER, BOUND = "#0b6e99", "#9aa5ad", "#d7dde1"


def _colour(name: str) -> str:
    if name.startswith("penstock"):
        return OURS
    return BOUND if name.startswith(("echo", "floor")) else OTHER


def _bars(axes, arms: dict, kind: str, key: str, figure: str, title: str) -> None:
    found = {
        name: arm["summary"][kind][key][figure]
        for name, arm in arms.items()
        if key in arm.get("summary", {}).get(kind, {})
    }
    order = sorted(found, key=lambda name: found[name]["median"], reverse=figure != "req_s")
    medians = [found[name]["median"] for name in order]
    below = [found[name]["median"] - found[name]["min"] for name in order]
    above = [found[name]["max"] - found[name]["median"] for name in order]
    colours = [_colour(name) for name in order]
    axes.barh(order, medians, xerr=[below, above], color=colours, ecolor="#444", capsize=2)
    for at, value in enumerate(medians):
        text = f" {value:,.0f}" if value >= 100 else f" {value:.2g}"
        axes.text(value, at + 0.27, text, va="center", fontsize=7)
    axes.set_title(title, fontsize=9, loc="left")
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def draw_tiny(document: dict, path: Path) -> None:
    """Draw the loads of the tiny workload, one panel each: further right is more."""
    panels = [
        ("closed", key, "req_s", f"REST, {key} connections: requests/s")
        for key in map(str, document["settings"]["connections"])
    ]
    panels.append(("closed", "1", "p50_ms", "REST, 1 connection: p50 ms"))
    common = f"{document['settings']['common_rate']:.0f}/s"
    panels.append(("open", common, "p99_ms", f"REST, open loop {common}: p99 ms"))
    streams = str(document["settings"]["streams"][-1])
    panels.append(("grpc", streams, "req_s", f"gRPC, {streams} streams: requests/s"))
    figure, grid = plt.subplots(2, 3, figsize=(13, 6.5))
    for axes, (kind, key, name, title) in zip(grid.flat, panels, strict=True):
        _bars(axes, document["arms"], kind, key, name, title)
    _finish(figure, document, path)


def draw_compute(document: dict, path: Path) -> None:
    """Draw sentences/s of each arm of the compute workload."""
    names = list(document["arms"])
    values = [document["arms"][name]["sentences_s"] for name in names]
    figure, axes = plt.subplots(figsize=(7, 3))
    axes.barh(
        names,
        [value["median"] for value in values],
        xerr=[
            [value["median"] - value["min"] for value in values],
            [value["max"] - value["median"] for value in values],
        ],
        color=[_colour(name) for name in names],
        capsize=2,
    )
    axes.set_title("MiniLM-L6-v2, one sentence a request: sentences/s", fontsize=9, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    _finish(figure, document, path)


def _finish(figure, document: dict, path: Path) -> None:
    machine = document["machine"]
    caption = (
        f"{document['date'][:10]}, commit {(document['commit'] or 'none')[:12]}, "
        f"{machine['cores']} cores, median and range of {document['settings']['rounds']} rounds"
    )
    figure.text(0.01, 0.005, caption, fontsize=7, color="#555")
    figure.tight_layout(rect=(0, 0.02, 1, 1))
    figure.savefig(path)


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text())
    drawing = draw_compute if given["workload"] == "compute" else draw_tiny
    drawing(given, Path(sys.argv[2]))
