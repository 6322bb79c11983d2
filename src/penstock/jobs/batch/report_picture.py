"""A Report as a picture: what was answered, and where the time went."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from penstock.jobs.batch.distribution import ClassCounts, Distribution, Histogram
from penstock.jobs.batch.report import Report

_INK, _DEAD, _QUIET = "#0b6e99", "#c2571a", "#9aa5ad"
_MAX_PANELS = 6
_MAX_CLASSES = 12
_LABEL_CHARS = 24
_STYLE: Mapping[str, Any] = MappingProxyType(
    {"svg.hashsalt": "penstock", "svg.fonttype": "none", "font.size": 8}
)


def draw_report(report: Report, path: Path) -> bool:
    """Draw a report as SVG; the same report gives the same bytes.

    Returns:
        False: matplotlib is not installed, and nothing is drawn.

    Raises:
        OSError: it cannot be written.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        return False
    outputs = list(report.tally.predictions.items())[:_MAX_PANELS]
    with matplotlib.rc_context(dict(_STYLE)):
        rows = 1 + -(-len(outputs) // 2)
        figure = Figure(figsize=(9, 2.4 * rows), layout="constrained")
        grid = figure.subplots(rows, 2, squeeze=False)
        _rows(grid[0][0], report)
        _stages(grid[0][1], report)
        panels = list(grid[1:].flat)
        for axes, (name, one) in zip(panels, outputs, strict=False):
            _output(axes, name, one)
        for axes in panels[len(outputs) :]:
            axes.set_axis_off()
        title = f"{_plain(report.name)}: {report.tally.rows_in:,} rows, "
        figure.suptitle(title + f"{report.rows_per_s:,.0f} rows/s", x=0.01, ha="left")
        figure.savefig(path, format="svg", metadata={"Date": None})
    return True


def _rows(axes: Any, report: Report) -> None:
    tally = report.tally
    bars = (
        ("out", tally.rows_out, _INK),
        ("dropped", tally.rows_dropped, _QUIET),
        ("dead", tally.rows_dead, _DEAD),
    )
    _bars(axes, {name: count for name, count, _ in bars}, [colour for *_, colour in bars])
    axes.set_title("rows", loc="left")


def _stages(axes: Any, report: Report) -> None:
    _bars(axes, report.tally.seconds, _INK)
    whose = "all workers and runs" if report.done_before else "all workers"
    axes.set_title(f"seconds of each stage, of {whose}", loc="left")


def _output(axes: Any, name: str, one: Distribution) -> None:
    axes.set_title(f"output {_plain(name)}", loc="left")
    if isinstance(one, Histogram) and one.counts:
        edges = one.edges
        axes.stairs(one.counts, edges, fill=True, color=_INK)
        axes.spines[["top", "right"]].set_visible(False)
    elif isinstance(one, ClassCounts) and one.counts:
        ranked = sorted(one.counts.items(), key=lambda pair: (-pair[1], pair[0]))
        _bars(axes, {_plain(value): count for value, count in ranked[:_MAX_CLASSES]}, _INK)
    else:
        is_many = isinstance(one, ClassCounts) and one.is_many
        axes.set_axis_off()
        axes.text(0, 0.5, "too many different values" if is_many else "no number came")


def _bars(axes: Any, values: Mapping[str, float], colours: str | list[str]) -> None:
    """Horizontal bars, the first on top, each with its figure."""
    places = range(len(values))
    axes.barh(places, list(values.values()), color=colours)
    axes.set_yticks(places, [name or "(empty)" for name in values])
    axes.invert_yaxis()
    for place, value in zip(places, values.values(), strict=True):
        text = f"{value:,}" if isinstance(value, int) else _seconds(value)
        axes.annotate(text, (value, place), xytext=(4, 0), textcoords="offset points", va="center")
    axes.margins(x=0.2)
    axes.set_xticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)


def _seconds(value: float) -> str:
    """With as many digits as tell it from nothing."""
    return f"{value:,.1f}" if value >= 10 else f"{value:.2g}"


def _plain(text: str) -> str:
    """Text of one line, without what an SVG cannot hold; ``$`` would be read as a formula."""
    shown = "".join(char if char.isprintable() else " " for char in text[:_LABEL_CHARS])
    return shown.replace("$", "\\$")
