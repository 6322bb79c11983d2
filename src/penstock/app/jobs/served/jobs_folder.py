"""JobsFolder: where the jobs of clients have their uploads, their state and their outputs.

::

    FOLDER/id                 what the control store knows this folder by
    FOLDER/jobs.db            the queue, where the server has no control store
    FOLDER/NAME/input.csv     an upload
    FOLDER/NAME/output/       its predictions
    FOLDER/NAME/state/        what the job has done, where that is not kept in its output
    FOLDER/NAME/progress.json how far it is
    FOLDER/NAME/result.json   what it has done
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Collection
from pathlib import Path

import msgspec

from penstock.core.errors import ConfigError, NotReady
from penstock.jobs.batch.durable import write_whole
from penstock.jobs.batch.report import Report
from penstock.server.jobs_api.answers import JobProgress

OUTPUT = "output"
STATE = "state"

_ID = "id"
_PROGRESS = "progress.json"
_RESULT = "result.json"
_FORGOTTEN_S = 24 * 3600.0
"""A folder of no job that is older was left by a server that died."""


class Result(msgspec.Struct, frozen=True):
    """What a job's process leaves when it is done.

    Attributes:
        report: what it has done.
        parts: of an upload's output, names of its files in the order of the input's rows.
    """

    report: Report
    parts: tuple[str, ...] = ()


class JobsFolder:
    """The folder of the setting ``jobs.folder``. Methods block.

    Args:
        path: the folder.

    Attributes:
        path: the same, absolute.
        id: its own, the same for every process that has it.

    Raises:
        ConfigError: it cannot be made or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.id = self._own_id()
        except OSError as err:
            raise ConfigError(f"jobs.folder: {self.path}: {err.strerror or err}") from err

    def of(self, name: str) -> Path:
        """A job's folder."""
        return self.path / name

    def make(self) -> str:
        """A new folder for a job, unlike any other; its name.

        Raises:
            NotReady: there is no room.
        """
        name = f"job-{uuid.uuid4().hex}"
        try:
            self.of(name).mkdir(mode=0o700)
        except OSError as err:
            raise no_room(err) from err
        return name

    def remove(self, name: str) -> None:
        """Remove a job's folder; one that is not there is no error."""
        shutil.rmtree(self.of(name), ignore_errors=True)

    def remove_forgotten(self, kept: Collection[str]) -> None:
        """Remove what no job has, but what is young, since an upload may be under way."""
        before_s = time.time() - _FORGOTTEN_S
        with contextlib.suppress(OSError):
            for folder in self.path.glob("job-*"):
                is_old = max(one.stat().st_mtime for one in (folder, *folder.iterdir())) < before_s
                if is_old and folder.name not in kept:
                    self.remove(folder.name)

    def progress(self, name: str) -> JobProgress:
        """How far a job was when its process last told; zeros: it has not."""
        try:
            return msgspec.json.decode((self.of(name) / _PROGRESS).read_bytes(), type=JobProgress)
        except (OSError, msgspec.MsgspecError):
            return JobProgress()

    def result(self, name: str) -> Result:
        """What a job that is done has left.

        Raises:
            NotReady: it cannot be read.
        """
        try:
            return msgspec.json.decode((self.of(name) / _RESULT).read_bytes(), type=Result)
        except (OSError, msgspec.MsgspecError) as err:
            raise NotReady("the job's result cannot be read: its files were touched") from err

    def _own_id(self) -> str:
        """Of several processes that make it, one does."""
        path = self.path / _ID
        mine = path.with_name(f"{_ID}.{uuid.uuid4().hex}")
        if not path.exists():
            mine.write_text(uuid.uuid4().hex)
            try:
                os.link(mine, path)
            except FileExistsError:
                pass
            finally:
                mine.unlink()
        return path.read_text().strip()


def write_progress(folder: Path, progress: JobProgress) -> None:
    """Tell how far a job is. Not durable; where it cannot be told, it is not."""
    path = folder / _PROGRESS
    unfinished = path.with_name(path.name + ".tmp")
    with contextlib.suppress(OSError):
        unfinished.write_bytes(msgspec.json.encode(progress))
        unfinished.replace(path)


def write_result(folder: Path, result: Result) -> None:
    """Leave what a job has done, durably.

    Raises:
        JobOutputError: it cannot be written.
    """
    write_whole(folder / _RESULT, msgspec.json.encode(result))


def no_room(err: OSError) -> NotReady:
    """What a client is told when its job cannot be kept."""
    return NotReady(f"the job cannot be kept: jobs.folder: {err.strerror or err}; try again later")
