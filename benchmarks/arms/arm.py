"""The interface of an arm: one real server process, started, checked, loaded and stopped."""

from __future__ import annotations

import http.client
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from benchmarks.machine import versions
from benchmarks.messages import (
    GRPC_PATH,
    Answer,
    HttpRequest,
    digits_infer_request,
    digits_v2_json,
    read_infer_response,
    read_v2_json,
)
from benchmarks.places import PYTHON, SERVERS
from benchmarks.processes import ServerProcess, free_port


class ArmError(RuntimeError):
    """An arm cannot take part: not installed, did not start, or answered wrongly."""


class Arm(ABC):
    """One server of the comparison. `label` names it, `note` says how it is configured.

    `start`, `wait_ready`, `check_answer`, load, `stop`; `stop` is safe at any time. An arm may be
    started again after `stop`, on new ports.
    """

    label: ClassVar[str]
    note: ClassVar[str]
    packages: ClassVar[tuple[str, ...]] = ()
    speaks_http: ClassVar[bool] = True
    speaks_grpc: ClassVar[bool] = False
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
            if not self.speaks_http:
                self.call_grpc(timeout_s=0.5)
                return True
            if self.ready_path is not None:
                return self._exchange("GET", self.ready_path, None)[0] == 200
            request = self.request()
            return self._exchange("POST", request.path, request)[0] == 200
        except (OSError, http.client.HTTPException, ArmError):
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

    def call_grpc(self, timeout_s: float = 5.0) -> bytes:
        """Make one ModelInfer call and return the response bytes. Raises ArmError on an error."""
        import grpc

        with grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}") as channel:
            try:
                answer: bytes = channel.unary_unary(GRPC_PATH)(
                    digits_infer_request(), timeout=timeout_s, wait_for_ready=True
                )
            except grpc.RpcError as error:
                raise ArmError(f"{self.label} over gRPC: {error}") from error
        return answer

    def check_answer(self, expected: Answer) -> None:
        """Ask once over each protocol and compare with `expected`; ArmError when it differs."""
        answers = []
        try:
            if self.speaks_http:
                answers.append(("REST", self.call_http()))
            if self.speaks_grpc:
                answers.append(("gRPC", read_infer_response(self.call_grpc())))
        except (OSError, ValueError, KeyError) as error:
            raise ArmError(f"{self.label}: no readable answer: {error!r}") from error
        for protocol, answer in answers:
            pairs = zip(answer.probabilities, expected.probabilities, strict=True)
            far = max(abs(got - wanted) for got, wanted in pairs)
            if answer.label != expected.label or far > 1e-4:
                raise ArmError(f"{self.label} answered wrongly over {protocol}: {answer}")

    def stop(self) -> None:
        """End the server and all that it started. Idempotent."""
        if self.server is not None:
            self.server.stop()
            self.server = None
