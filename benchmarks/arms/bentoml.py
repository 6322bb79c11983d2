"""Peer: BentoML."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from benchmarks.arms.arm import Arm
from benchmarks.messages import PIXELS, Answer, HttpRequest
from benchmarks.places import venv_python

if TYPE_CHECKING:
    from pathlib import Path


class BentoMl(Arm):
    """One worker with adaptive batching, over BentoML's own JSON: keyword arguments."""

    label = "bentoml"
    note = "1 worker, batchable, max_batch_size 32, adaptive; own JSON {'pixels': [[...]]}"
    packages = ("bentoml", "uvicorn", "starlette", "onnxruntime", "numpy")

    def interpreter(self) -> Path:
        """Return the interpreter of the peer's environment."""
        return venv_python("bentoml")

    def command(self) -> list[str]:
        """Return the command line of the server."""
        command = [str(self.interpreter()), "-m", "bentoml", "serve", "bentoml_app:Digits"]
        return [*command, "--host", "127.0.0.1", "--port", str(self.http_port)]

    def environment(self) -> dict[str, str]:
        """Return the variables that keep BentoML quiet and its files in the scratch folder."""
        return {"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(self.folder / "home")}

    def request(self) -> HttpRequest:
        """Return the request in BentoML's natural form."""
        body = json.dumps({"pixels": [list(PIXELS)]}).encode()
        return HttpRequest("/predict", body)

    def read_answer(self, body: bytes) -> Answer:
        """Return the answer in a response of one row."""
        row = json.loads(body)[0]
        return Answer(int(row["label"]), tuple(row["probabilities"]))
