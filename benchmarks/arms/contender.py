"""An arm of `benchmarks.run`: it is told a workload and serves it as its own documentation says."""

from __future__ import annotations

import http.client
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from benchmarks import v2
from benchmarks.arms.arm import Arm, ArmError
from benchmarks.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psutil

    from benchmarks.messages import GrpcCall, HttpRequest
    from benchmarks.workloads.workload import Tensors, Workload

_POLL_S = 0.02
_BAD_ANSWER = (ValueError, KeyError, TypeError, LookupError)


class Contender(Arm):
    """A server that is given `workload`: `start`, `wait_first_answer`, `check`, load, `stop`.

    Speaks V2 on the usual paths unless an arm says otherwise. `forms` is the encodings it speaks
    by workload, `other_forms` those for all that are not named.
    """

    forms: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    other_forms: ClassVar[tuple[str, ...]] = ("json", "binary", "grpc")

    def __init__(self, workload: Workload, folder: Path) -> None:
        """Serve `workload`, with a scratch `folder` that the arm may fill."""
        super().__init__(workload.onnx or Path(), folder)
        self.workload = workload
        self.metrics_port = 0
        self._started_s = 0.0

    def encodings(self) -> tuple[str, ...]:
        """Return which of "json", "binary" and "grpc" this arm speaks for its workload."""
        return self.forms.get(self.workload.name, self.other_forms)

    def why_not(self) -> str | None:
        """Return why it cannot do this workload at all, None when it can."""
        spoken = set(self.encodings()) & set(self.workload.encodings)
        return None if spoken else f"it speaks none of {', '.join(self.workload.encodings)}"

    def tree(self) -> list[psutil.Process]:
        """Return the live processes of the server."""
        return [] if self.server is None else self.server.tree()

    def environment(self) -> dict[str, str]:
        """Return the variables from which the programs in `servers/` know what to do."""
        return {
            "BENCH_WORKLOAD": self.workload.name,
            "BENCH_GRPC_PORT": str(self.grpc_port),
            "BENCH_MAX_BATCH": str(self.workload.max_batch_size),
            "BENCH_PROCESSES": str(self.workload.processes),
            "BENCH_PATH": v2.infer_path(self.workload.model),
        }

    def http_request(self, encoding: str, sample: Tensors) -> HttpRequest:
        """Return the REST request of one `sample`."""
        path = v2.infer_path(self.workload.model)
        if encoding == "binary":
            return v2.binary_request(path, sample)
        return v2.json_request(path, sample)

    def read_http(self, encoding: str, body: bytes, headers: Mapping[str, str]) -> Tensors:
        """Return the outputs of a REST response; `headers` have lower-case names."""
        del encoding
        return v2.read_answer(body, headers)

    def grpc_call(self, sample: Tensors) -> GrpcCall:
        """Return the gRPC call of one `sample`."""
        return v2.grpc_call(self.workload.model, sample)

    def read_grpc(self, message: bytes) -> Tensors:
        """Return the outputs of a gRPC response."""
        return v2.read_grpc(message)

    def start(self) -> None:
        """Start the server; does not wait. Raises ArmError when something it needs is missing."""
        self.metrics_port = free_port()
        self._started_s = time.perf_counter()
        super().start()

    def ask(
        self, encoding: str, sample: Tensors, timeout_s: float = 10.0, wait: bool = True
    ) -> Tensors:
        """Ask for one `sample` and return the outputs; `wait` is that of `call_bytes`.

        Raises ArmError when there is no good answer, or none that can be read.
        """
        if encoding == "grpc":
            message = self.call_bytes(self.grpc_call(sample), timeout_s, wait)
            try:
                return self.read_grpc(message)
            except _BAD_ANSWER as error:
                raise ArmError(f"{self.label}: no readable answer: {error!r}") from error
        request = self.http_request(encoding, sample)
        try:
            status, headers, body = self._post(request, timeout_s)
        except (OSError, http.client.HTTPException) as error:
            raise ArmError(f"{self.label}: no answer: {error!r}") from error
        if status != 200:
            raise ArmError(f"{self.label} answered {status}: {body[:300]!r}")
        try:
            return self.read_http(encoding, body, headers)
        except _BAD_ANSWER as error:
            raise ArmError(f"{self.label}: cannot read {body[:200]!r}: {error!r}") from error

    def _post(self, request: HttpRequest, timeout_s: float) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=timeout_s)
        try:
            connection.request("POST", request.path, request.body, dict(request.headers))
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return response.status, headers, response.read()
        finally:
            connection.close()

    def call_bytes(self, call: GrpcCall, timeout_s: float = 10.0, wait: bool = True) -> bytes:
        """Make one gRPC call and return the response's bytes. Raises ArmError on an error.

        With `wait`, a server that does not listen yet is waited for.
        """
        import grpc

        with grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}") as channel:
            try:
                answer: bytes = channel.unary_unary(call.path)(
                    call.message, timeout=timeout_s, wait_for_ready=wait
                )
            except grpc.RpcError as error:
                raise ArmError(f"{self.label} over gRPC: {error}") from error
        return answer

    def check(self) -> None:
        """Ask for the first sample in every encoding; ArmError when an answer is wrong."""
        for encoding in self.workload.encodings:
            if encoding in self.encodings():
                answer = self.ask(encoding, self.workload.samples[0])
                difference = self.workload.difference(answer)
                if difference is not None:
                    raise ArmError(f"{self.label} answered wrongly ({encoding}): {difference}")

    def wait_first_answer(self, limit_s: float = 120.0) -> float:
        """Ask until an answer is right; return the seconds since `start`.

        Raises ArmError when the server ends, or none comes in `limit_s` seconds.
        """
        assert self.server is not None, "start() comes first"
        spoken = [name for name in self.workload.encodings if name in self.encodings()]
        problem = ""
        while time.perf_counter() - self._started_s < limit_s:
            if self.server.exited() is not None:
                raise ArmError(f"{self.label} ended; its log ends:\n{self.server.log_tail()}")
            try:
                answer = self.ask(spoken[0], self.workload.samples[0], 2.0, wait=False)
                problem = self.workload.difference(answer) or ""
                if not problem:
                    return time.perf_counter() - self._started_s
            except ArmError as error:
                problem = str(error)
            time.sleep(_POLL_S)
        tail = self.server.log_tail()
        raise ArmError(f"{self.label}: not ready in {limit_s:.0f} s: {problem}; log:\n{tail}")
