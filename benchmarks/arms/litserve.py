"""Peer: LitServe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.arms.arm import Arm
from benchmarks.places import SERVERS, venv_python

if TYPE_CHECKING:
    from pathlib import Path


class LitServe(Arm):
    """One worker process and one API server; batching without a timer."""

    label = "litserve"
    note = "1 worker, 1 API server, max_batch_size 32, batch_timeout 0 (its default)"
    packages = ("litserve", "fastapi", "uvicorn", "onnxruntime", "numpy")

    def interpreter(self) -> Path:
        """Return the interpreter of the peer's environment."""
        return venv_python("litserve")

    def command(self) -> list[str]:
        """Return the command line of the server."""
        return [str(self.interpreter()), str(SERVERS / "litserve_app.py")]
