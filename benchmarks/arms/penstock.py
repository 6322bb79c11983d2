"""Penstock itself, started as a user starts it."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, ClassVar

from benchmarks.arms.arm import Arm
from benchmarks.arms.contender import Contender
from benchmarks.places import PENSTOCK, SERVERS

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.workloads.workload import Workload

PACKAGES = (
    "penstock",
    "uvicorn",
    "httptools",
    "grpcio",
    "onnxruntime",
    "numpy",
    "msgspec",
    "uvloop",
)


class Penstock(Arm):
    """`penstock serve` on the digits model folder."""

    label = "penstock"
    note = "penstock serve models/digits, one process, defaults"
    packages = PACKAGES
    ready_path = "/readyz"

    def __init__(
        self, onnx: Path, folder: Path, model: Path | None = None, more: tuple[str, ...] = ()
    ) -> None:
        """Serve `model` (a model folder or a repository; None: the folder of `onnx`), with `more`
        arguments after the usual ones.
        """
        super().__init__(onnx, folder)
        self.model = model or onnx.parent.parent
        self.more = more

    def command(self) -> list[str]:
        """Return the command line of the server."""
        return serve_command(self.model, self.http_port, self.grpc_port, *self.more)


class PenstockServe(Contender):
    """`penstock serve` on the model folder of a workload: REST and gRPC, JSON and binary."""

    label = "penstock"
    packages = PACKAGES
    notes: ClassVar[dict[str, str]] = {
        "tiny": "penstock serve models/digits, one process, defaults",
        "image": "penstock serve, a penstock.Model with inline_safe, max_batch_size 1, one process",
        "minilm": "penstock serve, the model.yaml of the export: 2 instances on threads, 1 thread "
        "each, max_batch_size 4, padding in buckets of 6",
        "gil": "penstock serve, a penstock.Model, instances: kind process, count 2; "
        "max_batch_size 1",
    }
    more: tuple[str, ...] = ()
    programs: ClassVar[dict[str, str]] = {"image": "penstock_image.py", "gil": "penstock_spin.py"}

    def __init__(self, workload: Workload, folder: Path) -> None:
        """Serve `workload`."""
        super().__init__(workload, folder)
        self.note = self.notes[workload.name]

    def _model(self) -> Path:
        if self.workload.onnx is not None:
            return self.workload.onnx.parent.parent
        folder = self.folder / self.workload.model
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "1").mkdir(parents=True)
        shutil.copy(SERVERS / self.programs[self.workload.name], folder / "1" / "model.py")
        manifest: dict[str, object] = {"max_batch_size": self.workload.max_batch_size}
        manifest.update(self._instances())
        (folder / "model.yaml").write_text(json.dumps(manifest))
        return folder

    def _instances(self) -> dict[str, object]:
        """Return what model.yaml says of the copies of a model in Python."""
        if self.workload.processes == 1:
            return {}
        return {"instances": {"kind": "process", "count": self.workload.processes}}

    def command(self) -> list[str]:
        """Return the command line of the server."""
        return serve_command(self._model(), self.http_port, self.grpc_port, *self.more)


class PenstockTwo(PenstockServe):
    """The same with two serving processes."""

    label = "penstock-2"
    more = ("--workers", "2")

    def __init__(self, workload: Workload, folder: Path) -> None:
        """Serve `workload`."""
        super().__init__(workload, folder)
        self.note += "; --workers 2"
        if workload.name == "gil":
            self.note = "the same model without worker processes; --workers 2"

    def why_not(self) -> str | None:
        """Return why it does not take part; None: it does."""
        if self.workload.name == "minilm":
            return "the model has two copies of its own: a second serving process brings nothing"
        return super().why_not()

    def _instances(self) -> dict[str, object]:
        """Return nothing: each serving process has a copy of its own."""
        return {}


def serve_command(model: Path, http_port: int, grpc_port: int, *more: str) -> list[str]:
    """Return `penstock serve MODEL` on 127.0.0.1 and the given ports, with `more` arguments."""
    command = [str(PENSTOCK), "serve", str(model), "--host", "127.0.0.1"]
    return [*command, "--http-port", str(http_port), "--grpc-port", str(grpc_port), *more]
