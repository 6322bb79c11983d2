"""``penstock batch``: a model over everything that is stored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.app.cli.options import JsonOption, PlainCommand, print_json, print_lines, say

if TYPE_CHECKING:
    from penstock.app.jobs.batch_job import BatchJob
    from penstock.jobs.batch.report import Report

batch_app = typer.Typer(
    help="Predict everything that is stored: run, resume, look, schedule.", no_args_is_help=True
)

JobArgument = Annotated[str, typer.Argument(metavar="JOB.yaml", help="The job's file.")]
EngineOption = Annotated[
    str | None, typer.Option("--engine", help="local, processes or ray [as the job says].")
]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Copies of the model at once [as the job says]."),
]
BatchSizeOption = Annotated[
    str | None,
    typer.Option("--batch-size", help="Most rows given together, or auto [as the job says]."),
]
MemoryOption = Annotated[
    str | None,
    typer.Option("--memory", help="What the job may hold, such as 512MiB [as the job says]."),
]


@batch_app.command("run", cls=PlainCommand)
def run_job_command(
    file: JobArgument,
    engine: EngineOption = None,
    workers: WorkersOption = None,
    batch_size: BatchSizeOption = None,
    memory: MemoryOption = None,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Remove what the job has written, and start over."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run a job, or go on with one that was stopped or killed.

    Exit status 0 if every row found its place, 1 if the job failed, 2 if its file is wrong, 130 if
    it was stopped by Ctrl-C or SIGTERM; run again, it goes on.
    """
    job = _load(file, _overrides(engine, workers, batch_size, memory))
    _run(job, file, is_fresh=fresh, as_json=as_json)


@batch_app.command("retry-dead", cls=PlainCommand)
def retry_dead(
    file: JobArgument,
    engine: EngineOption = None,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Do the splits with dead letters again. The model and the job have to be the same."""
    job = _load(file, _overrides(engine, workers))
    _run(job, file, only_dead=True, as_json=as_json)


@batch_app.command("plan", cls=PlainCommand)
def plan(file: JobArgument, as_json: JsonOption = False) -> None:
    """Show what a run would do: its model, columns and splits. Writes nothing."""
    from penstock.app.cli.batch_tables import plan_lines

    told = _load(file).plan()
    if as_json:
        print_json(told)
    else:
        print_lines(*plan_lines(told))


@batch_app.command("status", cls=PlainCommand)
def status(file: JobArgument, as_json: JsonOption = False) -> None:
    """Show how far a job is, whether it runs or not."""
    import msgspec

    from penstock.app.cli.batch_tables import status_lines

    job = _load(file)
    told = job.status()
    if as_json:
        shown = msgspec.to_builtins(told)
        shown["model"] = (shown.pop("record") or {}).get("model")
        print_json({"name": job.spec.name, **shown, "state": str(job.state)})
    else:
        print_lines(*status_lines(job.spec.name, str(job.state), told))


@batch_app.command("schedule", cls=PlainCommand)
def schedule(
    files: Annotated[
        list[str], typer.Argument(metavar="JOB.yaml...", help="Jobs with a 'schedule'.")
    ],
) -> None:
    """Run jobs at their times until Ctrl-C or SIGTERM.

    One runs at a time. A time that was missed is made up for once. A job that fails is told of, and
    is due again at its next time.
    """
    from penstock.app.cli.batch_schedule import run_schedule

    run_schedule({file: _load(file) for file in files})


def _overrides(
    engine: str | None,
    workers: int | None,
    batch_size: str | None = None,
    memory: str | None = None,
) -> dict[str, Any]:
    """The fields of the job that the command line says."""
    size: str | int | None = batch_size
    if batch_size is not None and batch_size.isdecimal():
        size = int(batch_size)
    said = {"engine": engine, "workers": workers, "batch_size": size, "memory": memory}
    return {name: value for name, value in said.items() if value is not None}


def _load(file: str, overrides: dict[str, Any] | None = None) -> BatchJob:
    from penstock.app.jobs.open_job import load_job

    return load_job(Path(file), overrides or {})


def _run(
    job: BatchJob, file: str, *, is_fresh: bool = False, only_dead: bool = False, as_json: bool
) -> None:
    """Run a job to its end, and tell of it.

    Raises:
        KeyboardInterrupt: it was stopped.
    """
    from penstock.app.cli.batch_progress import showing
    from penstock.app.jobs.stopping import stopping
    from penstock.core.errors import Cancelled

    _quiet_logs()
    try:
        with stopping() as stop, showing(job.spec.name, quiet=as_json) as show:
            if only_dead:
                report = job.retry_dead(on_progress=show, stop=stop)
            else:
                report = job.run(fresh=is_fresh, on_progress=show, stop=stop)
    except Cancelled as err:
        say(f"penstock: {err.message.partition(';')[0]}; to go on: penstock batch run {file}")
        raise KeyboardInterrupt from err
    _tell(job, report, as_json=as_json)


def _tell(job: BatchJob, report: Report, *, as_json: bool) -> None:
    from penstock.app.cli.batch_tables import report_lines

    if as_json:
        print_json(report)
    else:
        print_lines(*report_lines(report, str(job.state)))


def _quiet_logs() -> None:
    """What a model raises is in the dead letters, or is the job's error: not in the log, too."""
    import logging

    from penstock.telemetry.logs import configure

    configure("human", "warning")
    logging.getLogger("penstock.runtime").setLevel(logging.CRITICAL)
