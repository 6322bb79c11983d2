"""Peer: a plain FastAPI application under uvicorn, no batching."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.arms.arm import Arm
from benchmarks.places import venv_python

if TYPE_CHECKING:
    from pathlib import Path


class FastApi(Arm):
    """What most people write by hand: one pydantic body, one `session.run` per request."""

    label = "fastapi"
    note = "uvicorn[standard] (uvloop, httptools), 1 worker, async def, 1 run per request"
    packages = ("fastapi", "uvicorn", "uvloop", "httptools", "pydantic", "onnxruntime", "numpy")

    def interpreter(self) -> Path:
        """Return the interpreter of the peer's environment."""
        return venv_python("fastapi")

    def command(self) -> list[str]:
        """Return the command line of the server."""
        command = [str(self.interpreter()), "-m", "uvicorn", "fastapi_app:app"]
        command += ["--host", "127.0.0.1", "--port", str(self.http_port), "--workers", "1"]
        return [*command, "--no-access-log", "--log-level", "warning"]
