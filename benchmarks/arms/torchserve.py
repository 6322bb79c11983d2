"""Peer: TorchServe."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, ClassVar

from benchmarks.arms.arm import ArmError
from benchmarks.arms.peer import Peer
from benchmarks.places import SERVERS
from benchmarks.processes import free_port

if TYPE_CHECKING:
    from pathlib import Path

MAX_BATCH_DELAY_MS = 1
_ARCHIVE_S = 60.0


class TorchServe(Peer):
    """The Java front with Python worker processes that run a custom handler."""

    label = "torchserve"
    venv = "torchserve"
    packages = ("torchserve", "torch-model-archiver", "torch", "onnxruntime", "numpy")
    base_note = "custom handler around ONNX Runtime, token authorization off"
    notes: ClassVar = {"image": "raw body", "minilm": "the handler pads with zeros"}

    def batching(self) -> str:
        """Return how batches are made, for the note."""
        return f"batchSize {self.workload.max_batch_size}, maxBatchDelay {MAX_BATCH_DELAY_MS} ms"

    def path(self) -> str:
        """Return the path of a prediction."""
        return f"/predictions/{self.workload.model}"

    def command(self) -> list[str]:
        """Archive the model, write the configuration, return the server's command line.

        Raises ArmError when the archiver fails.
        """
        if shutil.which("java") is None:
            raise FileNotFoundError("no java: TorchServe needs Java 17")
        store = self.folder / "store"
        store.mkdir(exist_ok=True)
        self._archive(store)
        command = [str(self.interpreter().parent / "torchserve"), "--start", "--foreground"]
        command += ["--model-store", str(store), "--models", f"{self.workload.model}.mar"]
        command += ["--ts-config", str(self._configuration()), "--disable-token-auth", "--ncs"]
        return [*command, "--log-config", str(SERVERS / "torchserve_log4j2.xml")]

    def _archive(self, store: Path) -> None:
        settings = {
            "minWorkers": self.workload.processes,
            "maxWorkers": self.workload.processes,
            "batchSize": self.workload.max_batch_size,
            "maxBatchDelay": MAX_BATCH_DELAY_MS,
        }
        settings_file = self.folder / "model-config.yaml"
        settings_file.write_text(json.dumps(settings))
        command = [str(self.interpreter().parent / "torch-model-archiver"), "--force"]
        command += ["--model-name", self.workload.model, "--version", "1.0"]
        command += ["--handler", str(SERVERS / "torchserve_handler.py")]
        command += ["--config-file", str(settings_file), "--export-path", str(store)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_ARCHIVE_S, check=False
        )
        if done.returncode != 0:
            raise ArmError(f"torch-model-archiver failed: {done.stderr.strip()[-400:]}")

    def _configuration(self) -> Path:
        lines = {
            "inference_address": f"http://127.0.0.1:{self.http_port}",
            "management_address": f"http://127.0.0.1:{free_port()}",
            "metrics_address": f"http://127.0.0.1:{self.metrics_port}",
            "grpc_inference_port": self.grpc_port,
            "grpc_management_port": free_port(),
            "enable_envvars_config": "false",
            "model_store": self.folder / "store",
        }
        path = self.folder / "config.properties"
        path.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
        return path

    def environment(self) -> dict[str, str]:
        """Return the variables; the server's logs and scratch files stay in the folder."""
        return {
            **super().environment(),
            "BENCH_SERVERS": str(SERVERS),
            "LOG_LOCATION": str(self.folder / "logs"),
            "METRICS_LOCATION": str(self.folder / "logs"),
            "TEMP": str(self.folder),
            "PATH": f"{self.interpreter().parent}:{os.environ['PATH']}",
        }
