"""run_served: the job of a client, in the process that was started for it."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from pathlib import Path

from penstock.app.jobs.batch_job import run_options
from penstock.app.jobs.compose import open_parts
from penstock.app.jobs.served.job_messages import Outcome, Told
from penstock.app.jobs.served.jobs_folder import (
    OUTPUT,
    Result,
    write_progress,
    write_result,
)
from penstock.app.jobs.served.roots import Roots
from penstock.app.settings import Settings
from penstock.core.errors import Cancelled, PenstockError
from penstock.jobs.batch.hold import holder_of
from penstock.jobs.batch.parts import JobParts
from penstock.jobs.batch.plan import plan_work
from penstock.jobs.batch.progress import Progress
from penstock.jobs.batch.run import run_job
from penstock.jobs.batch.spec import BatchSpec
from penstock.jobs.batch.spec_file import read_spec
from penstock.jobs.batch.spec_inputs import FileInput
from penstock.jobs.batch.spec_outputs import FileOutput
from penstock.server.jobs_api.answers import JobProgress

_PATIENCE_S = 30.0
_LOOK_S = 0.2

_log = logging.getLogger("penstock.jobs")


def run_served(told: Told, settings: Settings, cancel: threading.Event) -> Outcome:
    """Do what is missing of a job, and leave its result in its folder. Blocks.

    Args:
        told: the job.
        settings: of the server.
        cancel: ends it within a batch.
    """
    folder = Path(told.folder)
    try:
        _run(told, settings, cancel, folder)
    except Cancelled:
        return Outcome("cancelled")
    except PenstockError as err:
        return Outcome("failed", err.message.replace(f"{folder}/", ""))
    except Exception as err:  # noqa: BLE001  # the edge of the process: a bug of ours ends one job
        _log.exception("job '%s'", told.spec["name"])
        text = f"internal error ({type(err).__name__}); the server's log has more"
        return Outcome("failed", text)
    return Outcome("done")


def _run(told: Told, settings: Settings, cancel: threading.Event, folder: Path) -> None:
    """See ``run_served``.

    Raises:
        PenstockError: what keeps it from its end.
    """
    spec = read_spec(told.spec, "job")
    if not told.is_upload:
        _check_roots(spec, Roots(settings.jobs.roots))

    def tell(progress: Progress) -> None:
        now = (progress.splits, progress.splits_done, progress.rows, progress.rows_dead)
        write_progress(folder, JobProgress(*now))

    with contextlib.closing(open_parts(spec, settings, cancel)) as parts:
        _wait_free(parts.state, cancel)
        report = run_job(parts, run_options(spec, parts), tell, cancel)
        names = _part_names(parts, folder / OUTPUT) if told.is_upload else ()
    tally = report.tally
    write_progress(
        folder, JobProgress(report.splits, report.splits, tally.rows_in, tally.rows_dead)
    )
    write_result(folder, Result(report, names))


def _wait_free(state: Path, cancel: threading.Event) -> None:
    """Wait for a runner that is about to end: of a server that was too late to keep its lease.

    One that does not end is another job's, which ``run_job`` tells.
    """
    until_s = time.monotonic() + _PATIENCE_S
    while holder_of(state) is not None and time.monotonic() < until_s:
        if cancel.wait(_LOOK_S):
            return


def _check_roots(spec: BatchSpec, roots: Roots) -> None:
    """The links that a pattern finds may be others than when the job was asked for.

    Raises:
        ConfigError: it would touch what it may not.
    """
    if isinstance(spec.input, FileInput):
        roots.check_input(spec.input.path)
        roots.check_files(spec.input.path)
    if isinstance(spec.output, FileOutput):
        roots.check_output(spec.output.path)


def _part_names(parts: JobParts, output: Path) -> tuple[str, ...]:
    """The files of an output in the order of the input's rows."""
    by_id = {path.name.removeprefix("part-").partition(".")[0]: path for path in output.iterdir()}
    return tuple(by_id[work.id].name for work in plan_work(parts) if work.id in by_id)
