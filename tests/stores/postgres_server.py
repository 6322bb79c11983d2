"""A PostgreSQL server of the tests' own, on a free port; nobody else's is ever touched."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from tests.stores.redis_server import free_port

_OPTIONS = {
    "fsync": "off",  # a process that is killed loses nothing by it
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "autovacuum": "off",
    "max_connections": "40",
    "listen_addresses": "127.0.0.1",
    "dynamic_shared_memory_type": "mmap",  # in its folder: gone with it, however it ends
}


def require_binary(name: str) -> str:
    """A program of the server; without it the test is skipped, and fails in CI."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda one: one.parent.name)
    path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, reversed(folders))])
    found = shutil.which(name, path=path)
    if found is None:
        text = f"no {name} here: apt-get install postgresql (or brew install postgresql)"
        if os.environ.get("CI"):
            pytest.fail(text)
        pytest.skip(text)
    return found


class PostgresServer:
    """One server process with its children; logins need no password, but those of
    ``told`` and ``jobs_user`` do.

    Attributes:
        port: where it listens.
        folder: with its socket.
        url: the address of its database.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"postgresql://penstock@127.0.0.1:{self.port}/postgres"
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))  # of pytest's own root reads only root's
        self._user = _unprivileged()
        self._process: subprocess.Popen[bytes] | None = None
        if self._user is not None:
            shutil.chown(self.folder, self._user)

    @property
    def pid(self) -> int:
        """The process that all others come from."""
        assert self._process is not None
        return self._process.pid

    def make(self) -> None:
        """Make the database's files."""
        command = [require_binary("initdb"), "--pgdata", str(self._data), "--username", "penstock"]
        command += ["--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync"]
        subprocess.run(
            command, check=True, stdout=subprocess.DEVNULL, user=self._user, cwd=self.folder
        )
        (self._data / "pg_hba.conf").write_text(
            "host all told,jobs_user 127.0.0.1/32 scram-sha-256\n"
            "host all all 127.0.0.1/32 trust\n"
            "local all all trust\n"
        )

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [require_binary("postgres"), "-D", str(self._data), "-p", str(self.port)]
        command += ["-k", str(self.folder)]
        for name, value in _OPTIONS.items():
            command += ["-c", f"{name}={value}"]
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=self._user,
            cwd=self.folder,
        )
        self._wait_until_it_answers()

    def stop(self) -> None:
        """End it as its administrator does: connections are told."""
        if self._process is not None:
            self.resume()
            self._process.send_signal(signal.SIGINT)
            self._process.wait(20)
            self._process = None

    def kill(self) -> None:
        """End it at once, its children included."""
        if self._process is not None:
            self._signal_all(signal.SIGKILL)
            self._process.wait(10)
            self._process = None
            (self._data / "postmaster.pid").unlink(missing_ok=True)

    def remove(self) -> None:
        """End it for good."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def pause(self) -> None:
        """Stop all of it in its tracks: connections stay open, nothing answers."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal_all(signal.SIGCONT)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _signal_all(self, number: signal.Signals) -> None:
        root = psutil.Process(self.pid)
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _wait_until_it_answers(self) -> None:
        command = [require_binary("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        give_up = time.monotonic() + 30
        while time.monotonic() < give_up:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                if subprocess.run(command, check=False).returncode == 0:
                    return
            time.sleep(0.02)
        raise AssertionError("postgres does not answer")


def _unprivileged() -> str | None:
    """Whom to run it as, which refuses to run as root; None: as ourselves."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
