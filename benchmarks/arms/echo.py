"""The echoes: the engines Penstock's sockets run on, with no model behind them."""

from __future__ import annotations

import json

from benchmarks.arms.arm import Arm
from benchmarks.messages import Answer, digits_infer_response
from benchmarks.places import PYTHON, SERVERS

NOTHING = Answer(0, (1.0,) + (0.0,) * 9)


class EchoRest(Arm):
    """Penstock's own HTTP server with an application that answers a constant V2 body."""

    label = "echo"
    note = "Penstock's HTTP server (uvicorn, fast lane, uvloop), constant V2 body, no model"
    packages = ("penstock", "uvicorn", "httptools", "uvloop")

    def command(self) -> list[str]:
        """Return the command line of the echo."""
        body = self.folder / "answer.json"
        label = {"name": "label", "shape": [1], "datatype": "INT64", "data": [NOTHING.label]}
        odds = {"name": "probabilities", "shape": [1, 10], "datatype": "FP32"}
        outputs = [label, {**odds, "data": list(NOTHING.probabilities)}]
        body.write_text(json.dumps({"model_name": "digits", "outputs": outputs}))
        return [str(PYTHON), str(SERVERS / "echo_rest.py"), str(self.http_port), str(body)]

    def check_answer(self, expected: Answer) -> None:
        """Compare with the constant, not with the model."""
        super().check_answer(NOTHING)


class EchoGrpc(Arm):
    """A bare `grpc.aio` server that answers constant ModelInfer bytes."""

    label = "echo-grpc"
    note = "grpc.aio (uvloop, one process), identity serializers, constant bytes, no model"
    packages = ("grpcio", "uvloop")
    speaks_http = False
    speaks_grpc = True

    def command(self) -> list[str]:
        """Return the command line of the echo."""
        answer = self.folder / "answer.bin"
        answer.write_bytes(digits_infer_response(NOTHING))
        return [str(PYTHON), str(SERVERS / "echo_grpc.py"), str(self.grpc_port), str(answer)]

    def check_answer(self, expected: Answer) -> None:
        """Compare with the constant, not with the model."""
        super().check_answer(NOTHING)
