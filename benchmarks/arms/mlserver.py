"""Peer: MLServer."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, ClassVar

from benchmarks import v2
from benchmarks.arms.contender import Contender
from benchmarks.messages import HttpRequest
from benchmarks.places import SERVERS, venv_python

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.workloads.workload import Tensors, Workload

MAX_BATCH_TIME_S = 0.001


class MlServer(Contender):
    """A custom runtime in parallel workers; V2 over REST, without its binary form, and gRPC."""

    label = "mlserver"
    packages = ("mlserver", "uvicorn", "fastapi", "grpcio", "onnxruntime", "numpy")
    forms: ClassVar = {"image": ("binary", "grpc")}
    other_forms = ("json", "grpc")

    def __init__(self, workload: Workload, folder: Path) -> None:
        """Serve `workload`."""
        super().__init__(workload, folder)
        note = f"custom runtime, parallel_workers {self._workers()}"
        if workload.name == "minilm":
            note += "; no batching: it cannot merge rows of different length"
        elif workload.max_batch_size > 1:
            note += f"; max_batch_size {workload.max_batch_size}, max_batch_time 1 ms"
        if workload.name == "image":
            note += "; over REST base64 in JSON, for it has no V2 binary there"
        self.note = note

    def _workers(self) -> int:
        # One worker process costs more than it brings: MLServer then runs the model itself (0).
        return self.workload.processes if self.workload.processes > 1 else 0

    def interpreter(self) -> Path:
        """Return the interpreter of the peer's environment."""
        return venv_python("mlserver")

    def command(self) -> list[str]:
        """Write the settings and return the command line of the server."""
        workload, home = self.workload, self.folder / "model"
        home.mkdir(exist_ok=True)
        settings = {
            "host": "127.0.0.1",
            "http_port": self.http_port,
            "grpc_port": self.grpc_port,
            "metrics_port": self.metrics_port,
            "parallel_workers": self._workers(),
            "debug": False,
            "use_structured_logging": False,
        }
        model: dict[str, object] = {
            "name": workload.model,
            "implementation": "mlserver_runtime.Runtime",
            "parameters": {},
        }
        if workload.max_batch_size > 1 and workload.name != "minilm":
            model["max_batch_size"] = workload.max_batch_size
            model["max_batch_time"] = MAX_BATCH_TIME_S
        (home / "settings.json").write_text(json.dumps(settings))
        (home / "model-settings.json").write_text(json.dumps(model))
        return [str(self.interpreter().parent / "mlserver"), "start", str(home)]

    def environment(self) -> dict[str, str]:
        """Return the variables; the runtime is found through PYTHONPATH."""
        logs = {"MLSERVER_ENVIRONMENTS_DIR": str(self.folder / "environments")}
        logs["MLSERVER_METRICS_DIR"] = str(self.folder / "metrics")
        return {**super().environment(), **logs, "PYTHONPATH": str(SERVERS)}

    def http_request(self, encoding: str, sample: Tensors) -> HttpRequest:
        """Return the REST request of one `sample`; an image as base64."""
        if encoding != "binary":
            return super().http_request(encoding, sample)
        text = base64.b64encode(sample["image"].tobytes()).decode()
        tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [text]}
        body = json.dumps({"inputs": [tensor]}).encode()
        return HttpRequest(v2.infer_path(self.workload.model), body)
