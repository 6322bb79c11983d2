"""The reaper ends what a server that died has left."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from penstock.runtime.process import reaper

SLEEP = [sys.executable, "-c", "import threading; threading.Event().wait(60)"]


def start() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", "-S", reaper.__file__]
    return subprocess.Popen(command, stdin=subprocess.PIPE)


def test_groups_are_killed_and_folders_removed(tmp_path: Path) -> None:
    gone, kept = tmp_path / "gone with spaces", tmp_path / "kept"
    for folder in (gone, kept):
        (folder / "deep").mkdir(parents=True)
    left = subprocess.Popen(SLEEP, start_new_session=True)
    ended = subprocess.Popen(SLEEP, start_new_session=True)
    lines = [f"+{left.pid}", f"+{ended.pid}", f"+{gone}", f"+{kept}", f"-{ended.pid}", f"-{kept}"]
    with start() as process:
        assert process.stdin is not None
        process.stdin.write("".join(f"{line}\n" for line in lines).encode())
        process.stdin.close()
        assert process.wait(10) == 0
    assert left.wait(10) == -9
    assert ended.poll() is None
    ended.kill()
    ended.wait()
    assert not gone.exists()
    assert (kept / "deep").exists()


def test_nothing_is_done_while_the_server_lives(tmp_path: Path) -> None:
    with start() as process:
        assert process.stdin is not None
        process.stdin.write(f"+{tmp_path}\n".encode())
        process.stdin.flush()
        until_s = time.monotonic() + 0.3
        while time.monotonic() < until_s:
            assert process.poll() is None
            assert tmp_path.exists()
        process.stdin.write(f"-{tmp_path}\n".encode())
        process.stdin.close()
        assert process.wait(10) == 0
    assert tmp_path.exists()
