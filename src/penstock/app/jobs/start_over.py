"""start_over: what a job has written is removed, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

from penstock.app.jobs.compose import state_folder
from penstock.core.errors import ConfigError
from penstock.jobs.batch.durable import unwritable
from penstock.jobs.batch.hold import hold
from penstock.jobs.batch.job_record import RECORD
from penstock.jobs.batch.run import JOURNAL
from penstock.jobs.batch.sinks.file_sink import SUCCESS
from penstock.jobs.batch.sources.kept_pages import PAGES
from penstock.jobs.batch.sources.kept_ranges import RANGES
from penstock.jobs.batch.spec import BatchSpec
from penstock.jobs.batch.spec_outputs import FileOutput

_STATE = (
    *(JOURNAL, RECORD, "dead"),
    *(PAGES, RANGES),  # what an API has answered, where a table's splits end
    *("report.json", "report.md", "report.svg"),
)


def start_over(spec: BatchSpec) -> None:
    """Forget what a job has done, and remove the parts of an output that is a folder here.

    Rows of a table stay: those of the same key are replaced.

    Raises:
        ConfigError: the output is in a store: its parts are not ours to find and remove.
        JobFailed: the job is being run.
        JobOutputError: something cannot be removed.
    """
    state = state_folder(spec)
    path = ""
    if isinstance(spec.output, FileOutput):
        path = spec.output.path.removeprefix("file://")
    if "://" in path:
        raise ConfigError(
            f"--fresh: {path} is in a store: empty it yourself and remove {state}, or give the job "
            f"another output and 'state'"
        )
    with hold(state):
        for name in _STATE:  # the journal first: it says what is in the output
            _remove(state / name)
        if path:
            for part in (Path(path) / SUCCESS, *sorted(Path(path).glob("part-*"))):
                _remove(part)


def _remove(path: Path) -> None:
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as err:
        raise unwritable(path, err) from err
