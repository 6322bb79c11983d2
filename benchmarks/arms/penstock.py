"""Penstock itself, started as a user starts it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.arms.arm import Arm
from benchmarks.places import PENSTOCK

if TYPE_CHECKING:
    from pathlib import Path


class Penstock(Arm):
    """`penstock serve` on the digits model folder."""

    label = "penstock"
    note = "penstock serve models/digits, one process, defaults"
    packages = (
        "penstock",
        "uvicorn",
        "httptools",
        "grpcio",
        "onnxruntime",
        "numpy",
        "msgspec",
        "uvloop",
    )
    speaks_grpc = True
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


def serve_command(model: Path, http_port: int, grpc_port: int, *more: str) -> list[str]:
    """Return `penstock serve MODEL` on 127.0.0.1 and the given ports, with `more` arguments."""
    command = [str(PENSTOCK), "serve", str(model), "--host", "127.0.0.1"]
    return [*command, "--http-port", str(http_port), "--grpc-port", str(grpc_port), *more]
