"""Draw it: ``python growth_picture.py RESULT.json PICTURE.svg`` (matplotlib, nothing else)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

RATE, CPU = "#0b6e99", "#c2571a"
PANELS = {
    "connections": "connections",
    "models": "loaded models",
    "size": "tensor bytes",
    "workers": "serving processes",
}


def _line(axes, points: dict, figure: str, colour: str, label: str) -> None:
    """Draw one figure's median against what there is, with the range of the rounds as a band."""
    at = [int(key) for key in points]
    found = [one[figure] for one in points.values()]
    low, high = [one["min"] for one in found], [one["max"] for one in found]
    axes.fill_between(at, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.plot(at, [one["median"] for one in found], "o-", color=colour, markersize=3, linewidth=1.2)
    axes.set_ylabel(label, color=colour, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.spines[["top"]].set_visible(False)


def _ticks(axes, sweep: str, points: dict) -> None:
    at = [int(key) for key in points]
    if sweep == "size":
        axes.set_xscale("log", base=2)
        at = at[::2]
        axes.set_xticks(at, [_bytes(size) for size in at])
        return
    axes.set_xscale("log")
    axes.set_xticks(at, [f"{count:,}" for count in at])
    axes.minorticks_off()


def _bytes(size: int) -> str:
    for power, unit in ((20, "MiB"), (10, "KiB")):
        if size >= 1 << power:
            return f"{size >> power} {unit}"
    return f"{size} B"


def _panel(axes, sweep: str, points: dict | None, why: str) -> None:
    axes.set_title(f"against {PANELS[sweep]}", fontsize=9, loc="left")
    if points is None:
        axes.set_axis_off()
        axes.text(0.02, 0.5, f"not measured: {why}", transform=axes.transAxes, fontsize=8)
        return
    cost = axes.twinx()
    _line(axes, points, "req_s", RATE, "requests/s")
    _line(cost, points, "cpu_us", CPU, "CPU us a request")
    for one in (axes, cost):
        if sweep == "size":
            one.set_yscale("log")
        else:
            one.set_ylim(bottom=0)
    _ticks(axes, sweep, points)


def draw(document: dict, path: Path) -> None:
    """Draw the four sweeps, requests/s on the left axis, CPU time per request on the right."""
    figure, grid = plt.subplots(2, 2, figsize=(12, 7))
    for axes, sweep in zip(grid.flat, PANELS, strict=True):
        why = document["left_out"].get(sweep, "not asked for")
        _panel(axes, sweep, document["summary"].get(sweep), why.splitlines()[0])
    caption = (
        f"{document['date'][:10]}, commit {(document['commit'] or 'none')[:12]}, "
        f"{document['machine']['cores']} cores, load generator on the same machine; median and "
        f"range; {document['how']}"
    )
    figure.text(0.01, 0.005, caption, fontsize=7, color="#555")
    figure.tight_layout(rect=(0, 0.02, 1, 1))
    figure.savefig(path)


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
