"""hold: one runner to a state folder."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from penstock.core.errors import JobFailed
from penstock.jobs.batch.hold import hold, holder_of
from penstock.repository.remote.file_lock import try_lock


def test_the_second_runner_is_told_who_the_first_is(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with hold(state):
        holder = holder_of(state)
        assert holder is not None
        assert (holder.host, holder.pid) == (socket.gethostname(), os.getpid())
        told = f"run already \\({socket.gethostname()}, process {os.getpid()}, since 20"
        with pytest.raises(JobFailed, match=told), hold(state):
            pytest.fail("two runners")
    assert holder_of(state) is None
    with hold(state):
        pass


HOLDER = """
import sys
import threading
from pathlib import Path
from penstock.jobs.batch.hold import hold

with hold(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_killed_runner_holds_nothing(tmp_path: Path) -> None:
    args = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(
        args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(JobFailed, match=f"process {process.pid}"), hold(tmp_path):
            pytest.fail("two runners")
        process.kill()
        process.wait()
    with hold(tmp_path):
        assert holder_of(tmp_path) is not None


def test_a_folder_that_nobody_has_run_in_has_no_holder(tmp_path: Path) -> None:
    assert holder_of(tmp_path) is None


def test_a_look_at_the_lock_is_not_taken_for_the_runner_before(tmp_path: Path) -> None:
    with hold(tmp_path):
        pass
    looks = try_lock(tmp_path / "lock")
    assert looks is not None
    threading.Timer(0.2, os.close, [looks]).start()
    with hold(tmp_path):
        assert holder_of(tmp_path) is not None
