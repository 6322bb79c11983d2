"""What ``penstock batch`` prints of jobs: plans, states and ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.jobs.batch.distribution import ClassCounts

if TYPE_CHECKING:
    from penstock.app.jobs.batch_job import JobPlan
    from penstock.jobs.batch.report import Report
    from penstock.jobs.batch.status import JobStatus

_SHOWN_CLASSES = 5
_SHOWN_LEFT_OUT = 3


def plan_lines(plan: JobPlan) -> Iterator[str]:
    """What a run would do."""
    model = plan.model
    left = plan.splits - plan.splits_done
    yield f"model   {model.name} version {model.version}, digest {model.digest[:16]}"
    for name, columns in plan.inputs.items():
        yield f"input   {name} <- {', '.join(columns)}"
    yield f"splits  {plan.splits:,}: {left:,} to do, {plan.splits_done:,} done"
    if plan.first:
        yield f"first   {plan.first}"
    yield f"output  {plan.output}"
    yield f"state   {plan.state}"


def status_lines(name: str, state: str, status: JobStatus) -> Iterator[str]:
    """How far a job is."""
    if status.record is None:
        yield f"{name}: never run; its state would be in {state}"
        return
    model, tally = status.record.model, status.tally
    yield f"{name}: {_what_now(status)}"
    yield f"model   {model.name} version {model.version}, digest {model.digest[:16]}"
    yield f"splits  {status.done:,} of {status.splits:,} done, {len(status.skipped):,} left out"
    yield f"rows    {tally.rows_in:,} in, {tally.rows_out:,} out, {tally.rows_dead:,} dead letters"
    yield f"state   {state}"
    for skipped in status.skipped:
        yield f"left out: {skipped.split}: {skipped.reason}"


def _what_now(status: JobStatus) -> str:
    if status.holder is not None:
        holder = status.holder
        return f"runs on {holder.host}, process {holder.pid}, since {holder.since}"
    return "done" if status.done == status.splits else "not done, and nobody runs it"


def report_lines(report: Report, folder: str) -> Iterator[str]:
    """How a run ended."""
    tally, model = report.tally, report.model
    if report.dead_tried:
        yield (
            f"{report.name}: {report.dead_tried:,} dead rows tried again, "
            f"{report.dead_again:,} still dead"
        )
    if report.done_before == report.splits:
        if not report.dead_tried:
            yield f"{report.name}: nothing was left to do, {tally.rows_in:,} rows were done before"
    else:
        rows = tally.rows_in - report.rows_before
        yield (
            f"{report.name}: {rows:,} rows in {report.wall_s:,.1f} s, "
            f"{report.rows_per_s:,.0f} rows/s, by {model.name} version {model.version}"
        )
        if report.done_before:
            yield f"{report.done_before:,} of {report.splits:,} splits were done before"
    yield (
        f"{tally.rows_out:,} rows out, {tally.rows_dead:,} dead letters, "
        f"{tally.rows_dropped:,} left out by the transform"
    )
    if report.num_left_out:
        yield f"{report.num_left_out:,} of {report.splits:,} splits cannot be read and are left out"
        for left_out in report.left_out[:_SHOWN_LEFT_OUT]:
            yield f"left out: {left_out.split}: {left_out.reason}"
    for name, one in tally.predictions.items():
        if isinstance(one, ClassCounts) and not one.is_many:
            yield f"{name}: {_classes(one)}"
    yield f"report: {folder}/report.md"
    if Path(folder, "report.svg").exists():
        yield f"picture: {folder}/report.svg"


def _classes(one: ClassCounts) -> str:
    ranked = sorted(one.counts.items(), key=lambda pair: (-pair[1], pair[0]))
    shown = [f"{value} {count:,}" for value, count in ranked[:_SHOWN_CLASSES]]
    others = sum(count for _, count in ranked[_SHOWN_CLASSES:])
    return ", ".join([*shown, f"others {others:,}"] if others else shown)
