"""Server processes of the arms: started in their own group, measured, and always ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Protocol

import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

MIB = 1024 * 1024


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that was free just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class ServerProcess:
    """One server and all processes below it, in a session of its own.

    Not thread-safe. `stop` ends exactly the processes that `start` brought about.
    """

    def __init__(
        self,
        command: Sequence[str],
        log_path: Path,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self._command = list(command)
        self._log_path = log_path
        self._environment = {**os.environ, **(environment or {})}
        self._folder = folder
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the top process; RuntimeError before `start`."""
        if self._popen is None:
            raise RuntimeError("not started")
        return self._popen.pid

    def start(self) -> None:
        """Start the command; standard output and error go to the log file."""
        with self._log_path.open("ab") as log:
            self._popen = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=self._folder,
                start_new_session=True,
            )

    def exited(self) -> int | None:
        """Return the exit status, or None while the top process runs."""
        return None if self._popen is None else self._popen.poll()

    def wait(self, limit_s: float = 3600.0) -> int | None:
        """Return the exit status once the top process ends; None when it has not by `limit_s`."""
        if self._popen is None:
            return None
        try:
            return self._popen.wait(limit_s)
        except subprocess.TimeoutExpired:
            return None

    def log_tail(self, lines: int = 8) -> str:
        """Return the last lines of the log, for a message to a person."""
        if not self._log_path.exists():
            return ""
        return "\n".join(self._log_path.read_text(errors="replace").splitlines()[-lines:])

    def tree(self) -> list[psutil.Process]:
        """Return the live processes of this server, top first."""
        try:
            top = psutil.Process(self.pid)
            return [top, *top.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def stop(self, grace_s: float = 8.0) -> None:
        """End the whole group: SIGTERM, at most `grace_s` seconds, then SIGKILL. Idempotent."""
        popen = self._popen
        if popen is None:
            return
        family = self.tree()
        _signal_group(popen.pid, signal.SIGTERM)
        _, alive = psutil.wait_procs(family, timeout=grace_s)
        _signal_group(popen.pid, signal.SIGKILL)
        for process in alive:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        popen.wait(timeout=grace_s)
        self._popen = None


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def cpu_seconds(processes: Sequence[psutil.Process]) -> float:
    """Return user plus system CPU seconds used so far by the live `processes`."""
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def memory_mib(processes: Sequence[psutil.Process]) -> tuple[float, float]:
    """Return (RSS, PSS) in MiB, summed; RSS counts shared pages once per process, PSS once."""
    rss = pss = 0
    for process in processes:
        try:
            memory = process.memory_full_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        rss += memory.rss
        pss += memory.pss
    return rss / MIB, pss / MIB


def cores_used(processes: Sequence[psutil.Process], over_s: float) -> float:
    """Return how many cores `processes` use, watched for `over_s` seconds."""
    started, before_s = time.perf_counter(), cpu_seconds(processes)
    time.sleep(over_s)
    return (cpu_seconds(processes) - before_s) / (time.perf_counter() - started)


def settle(
    processes: Sequence[psutil.Process], limit_s: float = 5.0, at_rest: float = 0.0
) -> float:
    """Wait until `processes` have worked off what a load left behind; return the cores in use.

    They have when they use less than a tenth of a core more than `at_rest`, which is what some
    servers use that poll. Waits `limit_s` seconds at most.
    """
    end_s = time.perf_counter() + limit_s
    while True:
        used = cores_used(processes, 0.1)
        if used < at_rest + 0.1 or time.perf_counter() > end_s:
            return used


class HasTree(Protocol):
    """Anything that knows its live processes."""

    def tree(self) -> list[psutil.Process]:
        """Return them, top first."""


class PeakMemory:
    """Samples the RSS of a server's tree every `interval_s` while in the `with` block."""

    def __init__(self, server: HasTree, interval_s: float = 0.5) -> None:
        self._server = server
        self._interval_s = interval_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.peak_rss_mib = 0.0
        self.samples: list[tuple[float, float]] = []

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ended.set()
        self._thread.join(timeout=5)

    def _sample(self) -> None:
        started = time.perf_counter()
        while True:
            rss_mib = 0.0
            for process in self._server.tree():
                try:
                    rss_mib += process.memory_info().rss / MIB
                except psutil.NoSuchProcess:
                    continue
            self.peak_rss_mib = max(self.peak_rss_mib, rss_mib)
            self.samples.append((time.perf_counter() - started, rss_mib))
            if self._ended.wait(self._interval_s):
                return
