"""The echoes: the engines Penstock's sockets run on, with no model behind them."""

from __future__ import annotations

from benchmarks import v2
from benchmarks.arms.contender import Contender
from benchmarks.places import PYTHON, SERVERS


class EchoRest(Contender):
    """Penstock's own HTTP server with an application that answers the expected V2 body."""

    label = "echo"
    note = (
        "Penstock's HTTP server (uvicorn, fast lane, uvloop), reads the body, constant answer, "
        "no model"
    )
    packages = ("penstock", "uvicorn", "httptools", "uvloop")
    other_forms = ("json", "binary")

    def command(self) -> list[str]:
        """Return the command line of the echo."""
        model, expected = self.workload.model, self.workload.expected
        in_json, in_binary = self.folder / "answer.json", self.folder / "answer.bin"
        in_json.write_bytes(v2.json_answer(model, expected))
        body, header_bytes = v2.binary_answer(model, expected)
        in_binary.write_bytes(body)
        command = [str(PYTHON), str(SERVERS / "echo_rest.py"), str(self.http_port)]
        return [*command, str(in_json), str(in_binary), str(header_bytes)]


class EchoGrpc(Contender):
    """A bare `grpc.aio` server that answers constant ModelInfer bytes."""

    label = "echo-grpc"
    note = "grpc.aio (uvloop, one process), identity serializers, constant bytes, no model"
    packages = ("grpcio", "uvloop")
    other_forms = ("grpc",)

    def command(self) -> list[str]:
        """Return the command line of the echo."""
        answer = self.folder / "answer.pb"
        answer.write_bytes(v2.grpc_answer(self.workload.model, self.workload.expected))
        return [str(PYTHON), str(SERVERS / "echo_grpc.py"), str(self.grpc_port), str(answer)]
