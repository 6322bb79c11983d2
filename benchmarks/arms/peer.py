"""A peer in an environment of its own, whose binary form is the tensor's bare bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from benchmarks import v2
from benchmarks.arms.contender import Contender
from benchmarks.messages import HttpRequest
from benchmarks.places import venv_python

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.workloads.workload import Tensors, Workload

_BOUNDARY = "penstock-benchmark"
BYTES_HEADERS = {"Content-Type": "application/octet-stream"}


class Peer(Contender):
    """A Python framework: V2 JSON for small tensors, bare bytes for the image.

    `venv` names its environment. `note` is what holds for all workloads, `notes` what is added for
    one. The answer to an image is the bytes of its four means.
    """

    venv: ClassVar[str]
    base_note: ClassVar[str] = ""
    notes: ClassVar[Mapping[str, str]] = {}
    forms: ClassVar[Mapping[str, tuple[str, ...]]] = {"image": ("binary",)}
    other_forms: ClassVar[tuple[str, ...]] = ("json",)

    def __init__(self, workload: Workload, folder: Path) -> None:
        """Serve `workload`."""
        super().__init__(workload, folder)
        parts = [f"{workload.processes} worker(s)", self.base_note]
        if workload.max_batch_size > 1:
            parts.append(self.batching())
        self.note = "; ".join(part for part in (*parts, self.notes.get(workload.name)) if part)

    def batching(self) -> str:
        """Return how batches are made, for the note."""
        return f"max_batch_size {self.workload.max_batch_size}"

    def interpreter(self) -> Path:
        """Return the interpreter of the peer's environment."""
        return venv_python(self.venv)

    def path(self) -> str:
        """Return the path of a prediction."""
        return v2.infer_path(self.workload.model)

    def http_request(self, encoding: str, sample: Tensors) -> HttpRequest:
        """Return the REST request of one `sample`."""
        if encoding == "binary":
            return HttpRequest(self.path(), sample["image"].tobytes(), BYTES_HEADERS)
        return v2.json_request(self.path(), sample)

    def read_http(self, encoding: str, body: bytes, headers: Mapping[str, str]) -> Tensors:
        """Return the outputs of a REST response."""
        if encoding == "binary":
            return {"means": np.frombuffer(body, np.float32)}
        return v2.read_answer(body, headers)


def form_request(path: str, field: str, content: bytes) -> HttpRequest:
    """Return a multipart upload of one file."""
    head = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="{field}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    body = head.encode() + content + f"\r\n--{_BOUNDARY}--\r\n".encode()
    return HttpRequest(path, body, {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"})
