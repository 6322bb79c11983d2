"""Peer: Ray Serve."""

from __future__ import annotations

import shutil
import tempfile
from typing import ClassVar

import psutil

from benchmarks.arms.peer import Peer
from benchmarks.places import SERVERS

_GRACE_S = 2.0  # a cluster for one run has nothing to save


class RayServe(Peer):
    """Replicas behind Serve's HTTP proxy, in a local cluster that lives as long as the arm."""

    label = "ray"
    venv = "ray"
    packages = ("ray", "uvicorn", "starlette", "onnxruntime", "numpy")
    base_note = "replicas, 1 proxy"
    notes: ClassVar = {"image": "raw body", "minilm": "the batch method pads with zeros"}

    _home = ""  # Ray's own folder: a short name, for there are sockets in it

    def batching(self) -> str:
        """Return how batches are made, for the note."""
        return f"@serve.batch {super().batching()}, batch_wait_timeout_s 0"

    def command(self) -> list[str]:
        """Return the command line of the server."""
        return [str(self.interpreter()), str(SERVERS / "ray_app.py")]

    def environment(self) -> dict[str, str]:
        """Return the variables; Ray's processes find the model's program through PYTHONPATH."""
        return {
            **super().environment(),
            "BENCH_RAY_FOLDER": self._home,
            "RAY_USAGE_STATS_ENABLED": "0",
            "PYTHONPATH": str(SERVERS),
        }

    def start(self) -> None:
        """Start the cluster and the server; does not wait. Raises ArmError when Ray is missing."""
        self._home = tempfile.mkdtemp(prefix="ray-")
        super().start()

    def stop(self) -> None:
        """End the server and all that it started, and remove Ray's folder. Idempotent."""
        family = self.tree()
        if self.server is not None:
            self.server.stop(grace_s=_GRACE_S)
        super().stop()
        psutil.wait_procs(family, timeout=_GRACE_S)
        if self._home:
            shutil.rmtree(self._home, ignore_errors=True)
