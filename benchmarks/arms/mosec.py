"""Peer: mosec, a Rust front with Python worker processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.arms.arm import Arm
from benchmarks.places import SERVERS, venv_python

if TYPE_CHECKING:
    from pathlib import Path


class Mosec(Arm):
    """One worker, dynamic batching with the smallest wait that mosec takes."""

    label = "mosec"
    note = "1 worker, max_batch_size 32, max_wait_time 1 ms (the smallest), compact JSON answers"
    packages = ("mosec", "onnxruntime", "numpy")

    def interpreter(self) -> Path:
        """Return the interpreter of the peer's environment."""
        return venv_python("mosec")

    def command(self) -> list[str]:
        """Return the command line of the server."""
        command = [str(self.interpreter()), str(SERVERS / "mosec_app.py")]
        return [*command, "--address", "127.0.0.1", "--port", str(self.http_port)]
