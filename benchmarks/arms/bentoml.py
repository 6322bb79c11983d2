"""Peer: BentoML."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from benchmarks.arms.peer import Peer, form_request
from benchmarks.messages import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.workloads.workload import Tensors

PATH = "/predict"


class BentoMl(Peer):
    """Workers with adaptive batching, over BentoML's own JSON: keyword arguments."""

    label = "bentoml"
    venv = "bentoml"
    packages = ("bentoml", "uvicorn", "starlette", "onnxruntime", "numpy")
    base_note = "own JSON (keyword arguments)"
    notes: ClassVar = {
        "image": "multipart upload",
        "minilm": "token ids only, the mask is made by the service, which pads with zeros",
    }

    def batching(self) -> str:
        """Return how batches are made, for the note."""
        return f"batchable, {super().batching()}, adaptive"

    def command(self) -> list[str]:
        """Return the command line of the server."""
        service = f"bentoml_app:{self.workload.name.capitalize()}"
        command = [str(self.interpreter()), "-m", "bentoml", "serve", service]
        return [*command, "--host", "127.0.0.1", "--port", str(self.http_port)]

    def environment(self) -> dict[str, str]:
        """Return the variables that keep BentoML quiet and its files in the scratch folder."""
        home = str(self.folder / "home")
        return {**super().environment(), "BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": home}

    def http_request(self, encoding: str, sample: Tensors) -> HttpRequest:
        """Return the request in BentoML's natural form."""
        if encoding == "binary":
            return form_request(PATH, "image", sample["image"].tobytes())
        name, value = next(iter(sample.items()))
        return HttpRequest(PATH, json.dumps({name: value.tolist()}).encode())

    def read_http(self, encoding: str, body: bytes, headers: Mapping[str, str]) -> Tensors:
        """Return the outputs of a response of one row."""
        del encoding, headers
        rows = json.loads(body)
        if self.workload.name == "tiny":
            return {name: np.asarray(value) for name, value in rows[0].items()}
        return {self.workload.outputs[0]: np.asarray(rows)}
