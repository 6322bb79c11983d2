"""A server of the tests' own, as a child process: started, waited for, killed, stopped a while."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
import pytest


def require_binary(name: str, package: str, *more: str) -> str:
    """A program's path; without it the test is skipped, and fails in CI."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", *more])
    found = shutil.which(name, path=path)
    if found is None:
        text = f"no {name} here: apt-get install {package}"
        if os.environ.get("CI"):
            pytest.fail(text)
        pytest.skip(text)
    return found


class ChildProcess:
    """One server, with all that it starts.

    Args:
        command: what is run.
        port: where it listens once it is up.
        log: where its output goes.
        environ: its environment; None: ours.
    """

    def __init__(
        self, command: Sequence[str], port: int, log: Path, environ: Mapping[str, str] | None = None
    ) -> None:
        self._command = command
        self._port = port
        self._log = log
        self._environ = environ
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, patience_s: float = 50.0) -> None:
        """Start it, and wait until its port is open."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env=self._environ, start_new_session=True
            )
        give_up = time.monotonic() + patience_s
        while time.monotonic() < give_up:
            if self._process.poll() is not None:
                break
            try:
                with socket.create_connection(("127.0.0.1", self._port), 1):
                    return
            except OSError:
                time.sleep(0.02)
        raise AssertionError(f"it does not come up: {self._log.read_text()[-2000:]}")

    def kill(self) -> None:
        """End it and its children at once."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            family = [*psutil.Process(process.pid).children(recursive=True)]
        except psutil.NoSuchProcess:
            family = []
        process.kill()
        process.wait(10)
        for one in family:
            if one.is_running():
                one.kill()
        psutil.wait_procs(family, 10)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)
