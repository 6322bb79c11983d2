"""The folder of the setting ``jobs.folder``."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from penstock.app.jobs.served.jobs_folder import (
    JobsFolder,
    Result,
    write_progress,
    write_result,
)
from penstock.core.errors import ConfigError, NotReady
from penstock.jobs.batch.report import Report, SplitTally
from penstock.jobs.predictor import ModelIdentity
from penstock.server.jobs_api.answers import JobProgress

REPORT = Report("a", ModelIdentity("m", 1, "d"), 1, 1.0, SplitTally())


def test_a_folder_has_one_id_for_everybody(tmp_path: Path) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(JobsFolder(tmp_path / "new/jobs").id))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len({*found}) == 1
    assert found[0]
    assert JobsFolder(tmp_path / "other").id != found[0]
    assert [path.name for path in (tmp_path / "new/jobs").iterdir()] == ["id"]


def test_only_its_owner_looks_into_it(tmp_path: Path) -> None:
    folder = JobsFolder(tmp_path / "jobs")
    assert folder.path.stat().st_mode & 0o077 == 0
    assert folder.of(folder.make()).stat().st_mode & 0o077 == 0


def test_a_place_that_cannot_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"jobs\.folder: .*file/jobs"):
        JobsFolder(tmp_path / "file" / "jobs")


def test_progress_and_result_come_back(tmp_path: Path) -> None:
    folder = JobsFolder(tmp_path / "jobs")
    name = folder.make()
    assert folder.progress(name) == JobProgress()
    with pytest.raises(NotReady, match="its files were touched"):
        folder.result(name)
    write_progress(folder.of(name), JobProgress(3, 1, 70, 2))
    write_result(folder.of(name), Result(REPORT, ("part-1.csv",)))
    assert folder.progress(name) == JobProgress(3, 1, 70, 2)
    assert folder.result(name) == Result(REPORT, ("part-1.csv",))
    folder.remove(name)
    folder.remove(name)
    assert folder.progress(name) == JobProgress()


def test_what_no_job_has_is_removed_when_it_is_old(tmp_path: Path) -> None:
    folder = JobsFolder(tmp_path / "jobs")
    old, young, kept, grows = (folder.make() for _ in range(4))
    (folder.of(grows) / "input.csv").write_text("it still comes")
    before_s = time.time() - 25 * 3600
    for name in (old, kept, grows):
        os.utime(folder.of(name), (before_s, before_s))
    folder.remove_forgotten({kept})
    left = {path.name for path in folder.path.glob("job-*")}
    assert left == {young, kept, grows}
