"""The interface of an arm: one real server process, started, checked, loaded and stopped."""

from __future__ import annotations

import http.client
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from benchmarks.machine import versions
from benchmarks.messages import Answer, HttpRequest, digits_v2_json, read_v2_json
from benchmarks.places import PYTHON, SERVERS
from benchmarks.processes import ServerProcess, free_port


class ArmError(RuntimeError):
    """An arm cannot take part: not installed, did not start, or answered wrongly."""


class Arm(ABC):
    """One server of the comparison. `label` names it, `note` says how it is configured.

    `start`, `wait_ready`, load, `stop`; `stop` is safe at any time. An arm may be started again
    after `stop`, on new ports.
    """

    label: ClassVar[str]
    note: str
    packages: ClassVar[tuple[str, ...]] = ()
    ready_path: ClassVar[str | None] = None

    def __init__(self, onnx: Path, folder: Path) -> None:
        """Take the model file and a scratch `folder` that the arm may fill."""
        self.onnx = onnx
        self.folder = folder
        self.http_port = 0
        self.grpc_port = 0
        self.server: ServerProcess | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command line of the server, on the ports of this start.

        Raises FileNotFoundError, saying what to install, when the arm is not there.
        """

    def environment(self) -> dict[str, str]:
        """Return environment variables besides those of this process."""
        return {}

    def interpreter(self) -> Path:
        """Return the interpreter whose packages are reported as this arm's versions."""
        return PYTHON

    def request(self) -> HttpRequest:
        """Return the REST request of one image."""
        return digits_v2_json()

    def read_answer(self, body: bytes) -> Answer:
        """Return the answer in a REST response."""
        return read_v2_json(body)

    def versions(self) -> dict[str, str]:
        """Return the installed versions of this arm's packages."""
        return versions(self.interpreter(), list(self.packages))

    def start(self) -> None:
        """Start the server; does not wait. Raises ArmError when something it needs is missing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.http_port, self.grpc_port = free_port(), free_port()
        try:
            command = self.command()
            if not Path(command[0]).exists():
                raise FileNotFoundError(f"{command[0]} is not there")
        except FileNotFoundError as error:
            raise ArmError(str(error)) from error
        environment = {
            "BENCH_MODEL": str(self.onnx),
            "BENCH_HTTP_PORT": str(self.http_port),
            "PYTHONUNBUFFERED": "1",
            **self.environment(),
        }
        log = self.folder / "server.log"
        self.server = ServerProcess(command, log, environment, SERVERS)
        self.server.start()

    def wait_ready(self, limit_s: float = 60.0) -> float:
        """Poll until the arm answers; return the seconds waited. Raises ArmError at the limit."""
        assert self.server is not None, "start() comes first"
        started = time.perf_counter()
        while time.perf_counter() - started < limit_s:
            if self.server.exited() is not None:
                break
            if self._is_ready():
                return time.perf_counter() - started
            time.sleep(0.05)
        reason = "ended" if self.server.exited() is not None else f"not ready in {limit_s:.0f} s"
        raise ArmError(f"{self.label} {reason}; its log ends:\n{self.server.log_tail()}")

    def _is_ready(self) -> bool:
        try:
            if self.ready_path is not None:
                return self._exchange("GET", self.ready_path, None)[0] == 200
            request = self.request()
            return self._exchange("POST", request.path, request)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def _exchange(self, method: str, path: str, request: HttpRequest | None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=5)
        try:
            body = request.body if request else None
            connection.request(method, path, body, dict(request.headers) if request else {})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def call_http(self) -> Answer:
        """Send one REST request and return its answer. Raises ArmError on any other status."""
        request = self.request()
        status, body = self._exchange("POST", request.path, request)
        if status != 200:
            raise ArmError(f"{self.label} answered {status}: {body[:200]!r}")
        return self.read_answer(body)

    def stop(self) -> None:
        """End the server and all that it started. Idempotent."""
        if self.server is not None:
            self.server.stop()
            self.server = None
