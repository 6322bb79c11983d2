"""Peer: mosec, a Rust front with Python worker processes."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.arms.peer import Peer
from benchmarks.places import SERVERS


class Mosec(Peer):
    """Worker processes, dynamic batching with the smallest wait that mosec takes."""

    label = "mosec"
    venv = "mosec"
    packages = ("mosec", "onnxruntime", "numpy")
    base_note = "compact JSON answers"
    notes: ClassVar = {"image": "raw body", "minilm": "forward() pads with zeros"}

    def batching(self) -> str:
        """Return how batches are made, for the note."""
        return f"{super().batching()}, max_wait_time 1 ms (the smallest)"

    def command(self) -> list[str]:
        """Return the command line of the server."""
        command = [str(self.interpreter()), str(SERVERS / "mosec_app.py")]
        return [*command, "--address", "127.0.0.1", "--port", str(self.http_port)]
