"""A MariaDB server of the tests' own, on a free port; nobody else's is ever touched."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pymysql
import pytest

from tests.stores.redis_server import free_port

_OPTIONS = (
    "--no-defaults",
    "--bind-address=127.0.0.1",
    "--skip-log-bin",
    "--innodb-buffer-pool-size=16M",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-lock-wait-timeout=5",
    "--max-allowed-packet=4M",
    "--default-time-zone=+03:00",  # not UTC: what is read must not depend on it
)


def require_binary(name: str) -> str:
    """A program of the server; without it the test is skipped, and fails in CI."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which(name, path=path)
    if found is None:
        text = f"no {name} here: apt-get install mariadb-server (or brew install mariadb)"
        if os.environ.get("CI"):
            pytest.fail(text)
        pytest.skip(text)
    return found


class MariaDbServer:
    """One server process; user ``penstock`` has the password ``s3cr3t/word`` and may do anything.

    Attributes:
        port: where it listens.
        url: the address of its database ``jobs``.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"mysql://penstock:s3cr3t%2Fword@127.0.0.1:{self.port}/jobs"
        self._folder = Path(tempfile.mkdtemp(prefix="mariadb-"))
        self._user = _unprivileged()
        self._process: subprocess.Popen[bytes] | None = None
        if self._user is not None:
            shutil.chown(self._folder, self._user)

    def make(self) -> None:
        """Make the database's files."""
        command = [require_binary("mariadb-install-db"), "--no-defaults", "--skip-test-db"]
        command += [f"--datadir={self._data}", "--auth-root-authentication-method=normal"]
        subprocess.run(
            command, check=True, stdout=subprocess.DEVNULL, user=self._user, cwd=self._folder
        )

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [require_binary("mariadbd"), *_OPTIONS, f"--datadir={self._data}"]
        command += [f"--port={self.port}", f"--socket={self._folder}/socket"]
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=self._user,
            cwd=self._folder,
        )
        self._wait_until_it_answers()
        self.run("CREATE DATABASE IF NOT EXISTS jobs CHARACTER SET utf8mb4")
        self.run("CREATE USER IF NOT EXISTS penstock IDENTIFIED BY 's3cr3t/word'")
        self.run("GRANT ALL PRIVILEGES ON *.* TO penstock WITH GRANT OPTION")

    def run(self, sql: str) -> list[tuple[object, ...]]:
        """Do something as its administrator."""
        db = pymysql.connect(
            host="127.0.0.1", port=self.port, user="root", charset="utf8mb4", autocommit=True
        )
        with contextlib.closing(db), db.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def kill(self) -> None:
        """End it at once, as the kernel would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(10)
            self._process = None

    def pause(self) -> None:
        """Stop it in its tracks: connections stay open, nothing answers."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def remove(self) -> None:
        """End it for good."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _wait_until_it_answers(self) -> None:
        give_up = time.monotonic() + 30
        while time.monotonic() < give_up:
            with contextlib.suppress(pymysql.Error):
                self.run("SELECT 1")
                return
            time.sleep(0.05)
        raise AssertionError("mariadbd does not answer")


def _unprivileged() -> str | None:
    """Whom to run it as, which refuses to run as root; None: as ourselves."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "mysql" if "mysql" in names else "nobody"
