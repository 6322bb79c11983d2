"""penstock.BatchJob: a model over everything that is stored, from Python."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from penstock.app.jobs.compose import open_again, open_parts, place_of, state_folder
from penstock.app.jobs.start_over import start_over
from penstock.jobs.batch.engine import Engine
from penstock.jobs.batch.engine_local import run_local
from penstock.jobs.batch.journal import read_ledger
from penstock.jobs.batch.options import RunOptions
from penstock.jobs.batch.parts import JobParts
from penstock.jobs.batch.plan import begun_with, check_columns, plan_work
from penstock.jobs.batch.progress import OnProgress
from penstock.jobs.batch.report import Report, write_report
from penstock.jobs.batch.retry_dead import retry_dead
from penstock.jobs.batch.run import JOURNAL, run_job
from penstock.jobs.batch.spec import BatchSpec
from penstock.jobs.batch.spec_file import load_spec, read_spec
from penstock.jobs.batch.status import JobStatus, read_status
from penstock.jobs.predictor import ModelIdentity


class JobPlan(msgspec.Struct, frozen=True):
    """What a run of a job would do.

    Attributes:
        name: the job's.
        model: which model would answer.
        inputs: each of its inputs, and the columns that make it.
        splits: how many parts the job's input has.
        splits_done: how many of them an earlier run has done.
        first: the first of those that are to do, as people read it; "": there is none.
        output: where it writes.
        state: where it keeps what it has done.
    """

    name: str
    model: ModelIdentity
    inputs: dict[str, tuple[str, ...]]
    splits: int
    splits_done: int
    first: str
    output: str
    state: str


class _Work(Protocol):
    """``run_job``, or ``retry_dead``."""

    def __call__(
        self,
        parts: JobParts,
        options: RunOptions,
        on_progress: OnProgress | None,
        cancel: threading.Event | None,
    ) -> Report: ...


class BatchJob:
    """A batch job. Its methods block; on any thread but an event loop's.

    ::

        job = penstock.BatchJob(
            name="nightly",
            input={"format": "parquet", "path": "tweets/*.parquet"},
            model={"path": "models", "name": "tweet-sentiment"},
            columns={"text": "body"},
            keep=["id"],
            output={"format": "parquet", "path": "scored"},
        )
        report = job.run()

    A job that was stopped or killed is run again, and goes on. Each method raises a
    ``PenstockError``: ConfigError for a job that is wrong, JobFailed for one that cannot be brought
    to its end; what it has done is kept.

    Args:
        fields: those of ``job.yaml``; ``model`` may be a path alone.

    Attributes:
        spec: the job.
        state: the folder where it keeps what it has done, its dead letters and its report.

    Raises:
        ConfigError: a field is unknown, missing or wrong.
    """

    def __init__(self, **fields: Any) -> None:
        self._become(read_spec(fields, "BatchJob"))

    @classmethod
    def load(cls, path: str | os.PathLike[str], **overrides: Any) -> BatchJob:
        """The job of a file.

        Args:
            path: the file.
            overrides: fields that win over the file's.

        Raises:
            ConfigError: it cannot be read, or is wrong.
        """
        job = cls.__new__(cls)
        job._become(load_spec(Path(path), overrides))
        return job

    def run(
        self,
        *,
        fresh: bool = False,
        on_progress: OnProgress | None = None,
        stop: threading.Event | None = None,
    ) -> Report:
        """Do what is missing.

        Args:
            fresh: remove first what earlier runs have done.
            on_progress: told a few times a second how far it is, on a thread of the job's.
            stop: set by whomever, ends it within a batch.

        Returns:
            what the job has done, this run and the earlier ones; written to ``state``, too.

        Raises:
            Cancelled: it was stopped.
            JobFailed: it stands still; another runner has it; or its model, its fields or its input
                are others than those that the output was begun with.
            PenstockError: what else keeps it from its end.
        """
        if fresh:
            start_over(self.spec)
        return self._do(run_job, on_progress, stop)

    def retry_dead(
        self, *, on_progress: OnProgress | None = None, stop: threading.Event | None = None
    ) -> Report:
        """Predict dead rows again, and do the splits anew of which one lives.

        Args: as for ``run``.

        Raises:
            JobFailed: it was never run; else as for ``run``.
        """
        return self._do(retry_dead, on_progress, stop)

    def plan(self) -> JobPlan:
        """What a run would do. Loads the model, and lists the input; writes nothing.

        Raises:
            JobFailed: a run would be refused.
            PenstockError: as for ``run``.
        """
        with contextlib.closing(open_parts(self.spec)) as parts:
            identity, signature = parts.predictors.identity, parts.predictors.signature
            done = read_ledger(self.state / JOURNAL).done
            begun_with(parts, done)
            check_columns(parts)
            work = plan_work(parts)
            left = [one for one in work if one.id not in done]
            named = {spec.name: self._columns(spec.name) for spec in signature.inputs}
        return JobPlan(
            name=self.spec.name,
            model=identity,
            inputs={
                name: side for name, side in named.items() if {*side} <= {*parts.columns.columns}
            },
            splits=len(work),
            splits_done=len(work) - len(left),
            first=str(left[0].split) if left else "",
            output=place_of(self.spec),
            state=str(self.state),
        )

    def status(self) -> JobStatus:
        """How far it is, whether it runs now or not. Loads nothing.

        Raises:
            JobFailed: its state cannot be read.
        """
        return read_status(self.state)

    def _become(self, spec: BatchSpec) -> None:
        self.spec = spec
        self.state = state_folder(spec)

    def _columns(self, name: str) -> tuple[str, ...]:
        columns = self.spec.columns.get(name, name)
        return (columns,) if isinstance(columns, str) else columns

    def _do(
        self, work: _Work, on_progress: OnProgress | None, stop: threading.Event | None
    ) -> Report:
        with contextlib.closing(open_parts(self.spec, stop=stop)) as parts:
            report = work(parts, run_options(self.spec, parts), on_progress, stop)
        report = report.renamed(self.spec.rename)
        write_report(report, self.state)
        return report


def run_options(spec: BatchSpec, parts: JobParts) -> RunOptions:
    """How a job is run, as its fields say."""
    again: Callable[[], JobParts] = functools.partial(
        open_again, spec, parts.predictors.identity, parts.spec_digest
    )
    return RunOptions(
        name=spec.name,
        output=place_of(spec),
        batch_rows=None if spec.batch_size == "auto" else spec.batch_size,
        memory_bytes=spec.memory,
        workers=spec.workers,
        policy=spec.on_error,
        engine=_engine(spec),
        engine_name=spec.engine,
        looks_apart=spec.engine == "processes",
        open_parts=again,
    )


def _engine(spec: BatchSpec) -> Engine:
    if spec.engine == "ray":
        from penstock.jobs.batch.engine_ray import run_on_ray

        return functools.partial(run_on_ray, options=spec.ray)
    if spec.engine == "processes":
        from penstock.jobs.batch.engine_processes import run_in_processes

        return run_in_processes
    return run_local
