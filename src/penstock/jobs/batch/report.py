"""SplitTally and Report: what a job has done, in numbers. Pure, but for ``write_report``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import msgspec

from penstock.core.errors import JobOutputError, may_pass
from penstock.jobs.batch.distribution import Distribution, add_distributions
from penstock.jobs.predictor import ModelIdentity


class SplitTally(msgspec.Struct, frozen=True):
    """What became of the rows of a split, or of several.

    Law: ``rows_in == rows_out + rows_dead + rows_dropped`` where nothing is missing.

    Attributes:
        rows_in: that were read, good and bad.
        rows_out: that were predicted and written.
        rows_dead: that could not be read or predicted, and are dead letters.
        rows_dropped: that the transform left out.
        bytes_in: that the rows held in memory.
        bytes_out: that were written.
        seconds: that were spent in each stage, by its name; those of workers are added up.
        predictions: what was answered, by output.
    """

    rows_in: int = 0
    rows_out: int = 0
    rows_dead: int = 0
    rows_dropped: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: Mapping[str, float] = {}
    predictions: Mapping[str, Distribution] = {}

    @property
    def is_whole(self) -> bool:
        """Whether every row found its place."""
        return self.rows_in == self.rows_out + self.rows_dead + self.rows_dropped

    def plus(self, other: SplitTally) -> SplitTally:
        """Both together."""
        return SplitTally(
            rows_in=self.rows_in + other.rows_in,
            rows_out=self.rows_out + other.rows_out,
            rows_dead=self.rows_dead + other.rows_dead,
            rows_dropped=self.rows_dropped + other.rows_dropped,
            bytes_in=self.bytes_in + other.bytes_in,
            bytes_out=self.bytes_out + other.bytes_out,
            seconds=_added(self.seconds, other.seconds),
            predictions=add_distributions(self.predictions, other.predictions),
        )


class LeftOut(msgspec.Struct, frozen=True):
    """A part of the input that cannot be read, and was left out.

    Attributes:
        split: which, as people read it.
        reason: why it cannot be read.
    """

    split: str
    reason: str


class Report(msgspec.Struct, frozen=True):
    """A job that came to its end.

    Attributes:
        name: the job's.
        model: which model answered.
        splits: how many parts the input has.
        done_before: how many of them an earlier run had done.
        num_left_out: how many of them cannot be read and were left out; the next run tries them
            again.
        left_out: the first few of those.
        dead_tried: how many dead rows this run has tried again.
        dead_again: how many of them are dead still.
        rows_before: how many rows of the tally those had.
        wall_s: how long this run took, in seconds.
        tally: of all splits, those of earlier runs too.
        batch_rows: the largest batch that the model was given; 0: it was given none.
        engine: what ran it.
        workers: how many at once.
        output: where the predictions are.
    """

    name: str
    model: ModelIdentity
    splits: int
    wall_s: float
    tally: SplitTally
    done_before: int = 0
    rows_before: int = 0
    dead_tried: int = 0
    dead_again: int = 0
    batch_rows: int = 0
    engine: str = "local"
    workers: int = 1
    output: str = ""
    num_left_out: int = 0
    left_out: tuple[LeftOut, ...] = ()

    @property
    def rows_per_s(self) -> float:
        """Rows that this run brought to their place, for each second of it."""
        return (self.tally.rows_in - self.rows_before) / max(self.wall_s, 1e-9)

    def renamed(self, names: Mapping[str, str]) -> Report:
        """The same, with outputs under the names that they are written under."""
        told = {names.get(name, name): one for name, one in self.tally.predictions.items()}
        tally = msgspec.structs.replace(self.tally, predictions=told)
        return msgspec.structs.replace(self, tally=tally)


def write_report(report: Report, folder: Path) -> None:
    """Write ``report.json``, ``report.md`` and ``report.svg``.

    Where matplotlib is not installed there is no picture, and ``report.md`` says how to get one.

    Args:
        report: what to tell.
        folder: made where it is not there.

    Raises:
        JobOutputError: they cannot be written.
    """
    from penstock.jobs.batch.report_picture import draw_report
    from penstock.jobs.batch.report_text import report_text

    told = msgspec.json.encode(report)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_drawn = draw_report(report, folder / "report.svg")
        (folder / "report.json").write_bytes(msgspec.json.format(told, indent=2) + b"\n")
        (folder / "report.md").write_text(report_text(report, is_drawn=is_drawn))
    except OSError as err:
        raise JobOutputError(
            f"{folder}: the report cannot be written: {err.strerror or err}; the predictions are "
            "there",
            retryable=may_pass(err),
        ) from err


def _added(left: Mapping[str, float], right: Mapping[str, float]) -> Mapping[str, float]:
    return dict(Counter(left) + Counter(right))
