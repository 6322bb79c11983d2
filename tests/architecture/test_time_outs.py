"""No test hangs for ever: not in its cleaning up, nor in a call that no signal ends."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

TWICE = """
import threading
import pytest

@pytest.fixture
def hangs():
    yield
    threading.Event().wait()

def test_hangs_twice(hangs):
    threading.Event().wait()
"""
DEAF = """
import signal
import threading
import pytest

def hang():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    threading.Event().wait()

def test_hears_no_signal():
    hang()

def test_the_next():
    pass
"""
DEAF_LATER = DEAF.replace(
    "def test_hears_no_signal():\n    hang()",
    "@pytest.fixture\ndef hangs():\n    yield\n    hang()\n\n"
    "def test_hears_no_signal(hangs):\n    assert False",
)


def run(folder: Path, content: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(content)
    plugins = ["-c", "pyproject.toml", "-p", "tests.time_outs", "--timeout=0.5"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-rfE", *plugins, *options, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )


def test_a_second_hang_ends_too(tmp_path: Path) -> None:
    done = run(tmp_path, TWICE)
    assert "1 failed, 1 error" in done.stdout


@pytest.mark.parametrize("content", [DEAF, DEAF_LATER], ids=["at once", "later"])
def test_what_no_signal_ends_is_ended_with_its_process(tmp_path: Path, content: str) -> None:
    done = run(tmp_path, content, "-o", "faulthandler_timeout=1.5")
    assert done.returncode == 1
    assert re.search(r"test_it\.py.*in hang$", done.stderr, re.MULTILINE), done.stderr


def test_the_others_go_on_in_another_process(tmp_path: Path) -> None:
    done = run(tmp_path, DEAF, "-n", "1", "-o", "faulthandler_timeout=1.5")
    assert "crashed while running 'test_it.py::test_hears_no_signal'" in done.stdout
    assert "1 failed, 1 passed" in done.stdout
