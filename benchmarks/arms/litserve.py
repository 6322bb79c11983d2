"""Peer: LitServe."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from benchmarks.arms.peer import Peer, form_request
from benchmarks.places import SERVERS

if TYPE_CHECKING:
    from benchmarks.messages import HttpRequest
    from benchmarks.workloads.workload import Tensors


class LitServe(Peer):
    """Worker processes and API servers; batching without a timer."""

    label = "litserve"
    venv = "litserve"
    packages = ("litserve", "fastapi", "uvicorn", "onnxruntime", "numpy")
    base_note = "as many API servers (its default)"
    notes: ClassVar = {
        "image": "multipart upload, bare bytes back",
        "minilm": "predict() pads with zeros",
    }

    def batching(self) -> str:
        """Return how batches are made, for the note."""
        return f"{super().batching()}, batch_timeout 0 (its default)"

    def command(self) -> list[str]:
        """Return the command line of the server."""
        return [str(self.interpreter()), str(SERVERS / "litserve_app.py")]

    def http_request(self, encoding: str, sample: Tensors) -> HttpRequest:
        """Return the REST request of one `sample`; an image as the file of a form."""
        if encoding != "binary":
            return super().http_request(encoding, sample)
        return form_request(self.path(), "image", sample["image"].tobytes())
