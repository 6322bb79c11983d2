"""A Report as Markdown. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.core.byte_size import show_bytes
from penstock.jobs.batch.distribution import ClassCounts, Distribution
from penstock.jobs.batch.report import Report

_SHOWN_CLASSES = 20
_SHOWN_BINS = 16


def report_text(report: Report, *, is_drawn: bool) -> str:
    """The report for people.

    Args:
        report: what to tell.
        is_drawn: whether ``report.svg`` is beside it.
    """
    lines = [f"# Batch job {report.name}", "", *_summary(report), ""]
    if is_drawn:
        lines += ["![The job in a picture](report.svg)", ""]
    else:
        lines += ["For a picture: `pip install 'penstock[batch]'`.", ""]
    if report.num_left_out:
        lines += ["## Left out", "", *_left_out(report), ""]
    lines += ["## Stages", "", "| stage | seconds |", "| --- | ---: |"]
    lines += [f"| {name} | {spent:,.2f} |" for name, spent in report.tally.seconds.items()]
    runs = " and of earlier runs" if report.done_before else ""
    lines += ["", f"Seconds of all workers{runs}, added up; stages run side by side.", ""]
    for name, one in report.tally.predictions.items():
        lines += [f"## Output `{name}`", "", *_distribution(one), ""]
    return "\n".join(lines)


def _summary(report: Report) -> Iterator[str]:
    tally, model = report.tally, report.model
    yield "| | |"
    yield "| --- | ---: |"
    yield f"| model | {model.name} {model.version} |"
    yield f"| model's digest | `{model.digest[:16]}` |"
    yield f"| rows in | {tally.rows_in:,} |"
    yield f"| rows out | {tally.rows_out:,} |"
    yield f"| dead letters | {tally.rows_dead:,}{_part(tally.rows_dead, tally.rows_in)} |"
    yield f"| left out by the transform | {tally.rows_dropped:,} |"
    yield f"| splits | {report.splits:,} |"
    if report.done_before:
        yield f"| of them done by earlier runs | {report.done_before:,} |"
    if report.num_left_out:
        yield f"| of them left out: they cannot be read | {report.num_left_out:,} |"
    yield f"| seconds of this run | {report.wall_s:,.1f} |"
    yield f"| rows/s | {report.rows_per_s:,.0f} |"
    yield f"| read, written | {show_bytes(tally.bytes_in)}, {show_bytes(tally.bytes_out)} |"
    yield f"| engine | {report.engine}, {report.workers} |"
    if report.batch_rows:
        yield f"| largest batch | {report.batch_rows:,} rows |"
    if report.output:
        yield f"| output | {report.output} |"


def _left_out(report: Report) -> Iterator[str]:
    yield "| split | why it cannot be read |"
    yield "| --- | --- |"
    for one in report.left_out:
        yield f"| {_cell(one.split)} | {_cell(one.reason)} |"
    if report.num_left_out > len(report.left_out):
        yield f"| {report.num_left_out - len(report.left_out):,} others | |"
    yield ""
    yield "The next run tries them again."


def _distribution(one: Distribution) -> Iterator[str]:
    if isinstance(one, ClassCounts):
        yield from _classes(one)
        return
    total = sum(one.counts)
    others = ((one.nan, "NaN"), (one.below, "-inf"), (one.above, "inf"))
    yield "| from | to | numbers | |"
    yield "| ---: | ---: | ---: | ---: |"
    edges, step = one.edges, -(-len(one.counts) // _SHOWN_BINS) or 1
    for at in range(0, len(one.counts), step):
        count = sum(one.counts[at : at + step])
        end = edges[min(at + step, len(one.counts))]
        yield f"| {edges[at]:.6g} | {end:.6g} | {count:,} |{_percent(count, total)} |"
    for count, name in others:
        if count:
            yield f"| {name} | {name} | {count:,} | |"


def _classes(one: ClassCounts) -> Iterator[str]:
    if one.is_many:
        yield "Too many different values to count."
        return
    total = sum(one.counts.values())
    ranked = sorted(one.counts.items(), key=lambda pair: (-pair[1], pair[0]))
    yield "| value | rows | |"
    yield "| --- | ---: | ---: |"
    for value, count in ranked[:_SHOWN_CLASSES]:
        yield f"| {_cell(value)} | {count:,} |{_percent(count, total)} |"
    if len(ranked) > _SHOWN_CLASSES:
        rest = sum(count for _, count in ranked[_SHOWN_CLASSES:])
        others = len(ranked) - _SHOWN_CLASSES
        yield f"| {others:,} others | {rest:,} |{_percent(rest, total)} |"


def _cell(value: str) -> str:
    """Text that cannot break out of a table's cell."""
    return " ".join(value.replace("|", "\\|").split()) or "(empty)"


def _percent(count: int, total: int) -> str:
    return f" {count / total:.1%}" if total else ""


def _part(count: int, total: int) -> str:
    return f" ({count / total:.3%})" if count and total else ""
