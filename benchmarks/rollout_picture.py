"""Draw it: ``python rollout_picture.py RESULT.json FOLDER`` (matplotlib, nothing else)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

OURS, OTHER, TRUTH = "#0b6e99", "#c2571a", "#444444"


def _axes(title: str, x: str, y: str, size: tuple[float, float] = (7.5, 3.6)):
    figure, axes = plt.subplots(figsize=size)
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure, document: dict, path: Path) -> None:
    caption = f"{document['date'][:10]}, python -m benchmarks.rollouts"
    figure.text(0.01, 0.01, caption, fontsize=6, color="#555")
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def peeking(document: dict, path: Path) -> None:
    """Good versions that were rolled back, against the time that was looked."""
    data = document["peeking"]
    figure, axes = _axes(
        "Good versions that a test has rolled back, with a look each second",
        "seconds",
        "percent, so far",
    )
    minutes = data["seconds"]
    axes.plot(minutes, [100 * part for part in data["fixed"]], color=OTHER, lw=1.6)
    axes.plot(minutes, [100 * part for part in data["ours"]], color=OURS, lw=1.6)
    axes.axhline(100 * data["alpha"], color=TRUTH, lw=0.8, ls="--")
    end = minutes[-1]
    above = {"va": "bottom", "ha": "right", "fontsize": 9}
    axes.text(end, 100 * data["fixed"][-1], "z-test, made for one look ", color=OTHER, **above)
    axes.text(end, 100 * data["alpha"], "the level that both promise ", color=TRUTH, **above)
    axes.annotate(
        "Penstock",
        (end * 0.9, 100 * data["ours"][-1]),
        color=OURS,
        fontsize=9,
        xytext=(0, -11),
        textcoords="offset points",
        ha="right",
        annotation_clip=False,
    )
    axes.set_ylim(bottom=-1)
    _save(figure, document, path)


def sequence(document: dict, path: Path) -> None:
    """One stream's intervals as it grows."""
    data = document["sequence"]
    figure, axes = _axes(
        f"Intervals of one error rate as requests come ({1 - data['alpha']:.0%})",
        "requests",
        "error rate, percent",
    )
    at = data["requests"]
    for name, colour, label in (
        ("held", OURS, "confidence sequence: holds at all looks together"),
        ("once", OTHER, "Wilson's interval: holds at one look"),
    ):
        low, high = ([100 * ends[side] for ends in data[name]] for side in (0, 1))
        axes.fill_between(at, low, high, color=colour, alpha=0.16, lw=0)
        axes.plot(at, low, color=colour, lw=1.0)
        axes.plot(at, high, color=colour, lw=1.0, label=label)
    axes.plot(at, [100 * one for one in data["estimate"]], color=TRUTH, lw=0.7, label="counted")
    axes.axhline(100 * data["rate"], color=TRUTH, lw=0.8, ls="--", label="the true rate")
    axes.set_xscale("log")
    axes.set_ylim(0, 6)
    axes.legend(fontsize=8, frameon=False)
    _save(figure, document, path)


def detection(document: dict, path: Path) -> None:
    """How many requests the rollback of a failing canary took."""
    data = document["theory"]
    figure, axes = _axes(
        "Rolling back a canary with 5 % errors instead of 0.1 %, at 5 % of the requests",
        "requests until the rollback, divided by what any test of the level needs in the mean",
        "percent of the rollouts",
    )
    ratios = data["ratios"]
    axes.step(ratios, [100 * (i + 1) / len(ratios) for i in range(len(ratios))], color=OURS)
    for name, style in (("median", "-"), ("mean", "--")):
        value = data["ratio"][name]
        axes.axvline(value, color=TRUTH, lw=0.8, ls=style, label=f"{name} {value:.2f}")
    axes.set_xlim(0, max(4.0, data["ratio"]["p90"] * 1.5))
    axes.set_ylim(0, 100)
    axes.legend(fontsize=8, frameon=False)
    _save(figure, document, path)


def needs(document: dict, path: Path) -> None:
    """What the gates of a usual plan take, by the candidate's share of the requests."""
    figure, axes = _axes(
        "Requests of both versions until a gate passes, if they are alike",
        "the candidate's share of the requests",
        "requests of both",
    )
    shares = (0.01, 0.05, 0.25, 0.5)
    shown = (
        ("error_rate, both fail 0.1%", "max_increase 0.005"),
        ("error_rate, both fail 0.1%", "max_increase 0.002"),
        ("latency, p99", "max_ratio 1.5"),
        ("prediction_shift, 10 classes", "max_distance 0.1"),
    )
    for row in document["needs"]:
        if (row["gate"], row["bound"]) in shown:
            both = [count / share for count, share in zip(row["samples"], shares, strict=True)]
            axes.plot(shares, both, "o-", ms=3, label=f"{row['gate']}: {row['bound']}")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(shares, [f"{share:.0%}" for share in shares])
    axes.minorticks_off()
    axes.legend(fontsize=8, frameon=False)
    _save(figure, document, path)


if __name__ == "__main__":
    given, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    for drawing in (peeking, sequence, detection, needs):
        drawing(given, folder / f"{drawing.__name__}.svg")
