"""Peer: a plain FastAPI application under uvicorn, no batching."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.arms.peer import Peer


class FastApi(Peer):
    """What most people write by hand: one pydantic body, one run of the model per request."""

    label = "fastapi"
    venv = "fastapi"
    packages = ("fastapi", "uvicorn", "uvloop", "httptools", "pydantic", "onnxruntime", "numpy")
    base_note = "uvicorn[standard] (uvloop, httptools), async def, 1 run per request"
    notes: ClassVar = {"image": "raw body"}

    def batching(self) -> str:
        """Return how batches are made, for the note."""
        return "no batching"

    def command(self) -> list[str]:
        """Return the command line of the server."""
        command = [str(self.interpreter()), "-m", "uvicorn", "fastapi_app:app"]
        command += ["--host", "127.0.0.1", "--port", str(self.http_port)]
        command += ["--workers", str(self.workload.processes)]
        return [*command, "--no-access-log", "--log-level", "warning"]
