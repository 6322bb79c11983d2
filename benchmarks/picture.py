"""Draw a result: ``python picture.py RESULT.json PICTURE.svg`` (needs matplotlib, nothing else)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

OURS, OTHER, BOUND = "#0b6e99", "#9aa5ad", "#d7dde1"
PANELS = 6
MODEL_IS_THE_WORK = ("minilm", "gil")  # an echo beside them says nothing, and hides the others


def _colour(name: str) -> str:
    if name.startswith("penstock"):
        return OURS
    return BOUND if name.startswith(("echo", "floor")) else OTHER


def _at(summary: dict, where: tuple[str, ...]) -> dict:
    for name in where:
        summary = summary.get(name, {})
    return summary


def _bars(axes, arms: dict, where: tuple[str, ...], title: str) -> None:
    """Draw one figure of every arm that has it, the best on top; `where` leads to its spread."""
    spreads = {name: _at(arm.get("summary", {}), where) for name, arm in arms.items()}
    found = {name: one for name, one in spreads.items() if "median" in one}
    order = sorted(found, key=lambda name: found[name]["median"], reverse=where[-1] != "req_s")
    medians = [found[name]["median"] for name in order]
    below = [found[name]["median"] - found[name]["min"] for name in order]
    above = [found[name]["max"] - found[name]["median"] for name in order]
    colours = [_colour(name) for name in order]
    axes.barh(order, medians, xerr=[below, above], color=colours, ecolor="#444", capsize=2)
    for at, value in enumerate(medians):
        text = f" {value:,.0f}" if value >= 100 else f" {value:.2g}"
        axes.text(value, at + 0.3, text, va="center", fontsize=7)
    axes.set_title(title, fontsize=9, loc="left")
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def _shown(arms: dict, workload: str) -> dict:
    hidden = "echo" if workload in MODEL_IS_THE_WORK else None
    return {name: arm for name, arm in arms.items() if hidden is None or hidden not in name}


def _panels(settings: dict) -> list[tuple[tuple[str, ...], str]]:
    """Return what a workload's picture shows: (where the figure is, title)."""
    (encoding, connections), *_ = settings["rest"].items()
    rest = ("closed", encoding)
    panels = [
        ((*rest, str(count), "req_s"), f"REST {encoding}, {count} connection(s): requests/s")
        for count in connections[:3]
    ]
    first = str(connections[0])
    panels.append(((*rest, first, "p50_ms"), f"REST {encoding}, {first} connection(s): p50 ms"))
    common = f"{settings['common_rate']:.0f}/s"
    panels.append((("open", encoding, common, "p99_ms"), f"open loop, {common}: p99 ms"))
    streams = "1x32"
    panels.append((("closed", "grpc", streams, "req_s"), "gRPC, 1 x 32 streams: requests/s"))
    return panels[:PANELS]


def draw_workload(document: dict, path: Path) -> None:
    """Draw the loads of one workload, one panel each: further right is more."""
    figure, grid = plt.subplots(2, 3, figsize=(13, 7.5))
    panels = _panels(document["settings"])
    for axes, (where, title) in zip(grid.flat, panels, strict=False):
        _bars(axes, _shown(document["arms"], document["workload"]), where, title)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    _finish(figure, document, path)


def draw_comparison(document: dict, path: Path) -> None:
    """Draw a whole run: a row of panels for each workload."""
    workloads = document["workloads"]
    size = (17, 3.3 * len(workloads))
    figure, grid = plt.subplots(len(workloads), 4, figsize=size, squeeze=False)
    for row, (name, found) in zip(grid, workloads.items(), strict=True):
        encoding = next(iter(found["settings"]["rest"]))
        rest = ("closed", encoding, "32")
        for axes, where, title in (
            (row[0], (*rest, "req_s"), f"REST {encoding}, 32 connections: requests/s"),
            (row[1], ("closed", "grpc", "1x32", "req_s"), "gRPC, 1 x 32 streams: requests/s"),
            (row[2], (*rest, "cpu_s_per_1000"), f"REST {encoding}, CPU s per 1,000 requests"),
            (row[3], ("rss_idle_mib",), "RSS idle, MiB"),
        ):
            _bars(axes, _shown(found["arms"], name), where, f"{name}: {title}")
    _finish(figure, document, path)


def _finish(figure, document: dict, path: Path) -> None:
    machine = document["machine"]
    caption = (
        f"{document['date'][:10]}, commit {(document['commit'] or 'none')[:12]}, "
        f"{machine['cores']} cores, median and range; {document['how']}"
    )
    figure.text(0.01, 0.005, caption, fontsize=7, color="#555")
    figure.tight_layout(rect=(0, 0.02, 1, 1))
    figure.savefig(path)


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text())
    drawing = draw_comparison if given["workload"] == "comparison" else draw_workload
    drawing(given, Path(sys.argv[2]))
