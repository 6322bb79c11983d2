"""What ``penstock serve`` prints when it is ready."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table

from penstock.app.serve import RunningServer
from penstock.core.signature import TensorSpec
from penstock.core.status import VersionState
from penstock.scheduler.model_info import ModelInfo
from penstock.server.example import example_curl
from penstock.server.sockets import address

_SHOWN_CURLS = 3
_COLD = (VersionState.NEW, VersionState.UNLOADED)


def print_banner(server: RunningServer) -> None:
    """Print a table of the models, the addresses, and ``curl`` lines that work."""
    console = Console(file=sys.stderr, highlight=False)
    service = server.assembly.service
    models = service.ready_models()
    table = Table("model", "version", "runtime", "inputs", "outputs", box=None, pad_edge=False)
    for info in models:
        table.add_row(
            info.id.name,
            str(info.id.version),
            info.runtime,
            _tensors(info.signature.inputs),
            _tensors(info.signature.outputs),
        )
    cold = [one for one in service.manager.statuses() if one.state in _COLD]
    if models or not cold:
        console.print(table if models else "no model serves")
    if cold:
        console.print(f"{len(cold)} versions are loaded when they are asked for")
    for status in service.manager.statuses():
        if status.state is VersionState.FAILED:
            console.print(f"failed: {status.id.says(status.reason)}", style="red", markup=False)
    base = f"http://{address(server.host, server.http_port)}"
    console.print(f"REST {base}  docs {base}/docs  metrics {base}/metrics", soft_wrap=True)
    if server.grpc_port:
        console.print(f"gRPC {address(server.host, server.grpc_port)}")
    for line in _curls(models, base):
        console.print(line, soft_wrap=True, markup=False)


def _curls(models: list[ModelInfo], base: str) -> list[str]:
    newest = {info.id.name: info for info in models}
    lines = (example_curl(info.id.name, info.signature, base) for info in newest.values())
    return [line for line in lines if line][:_SHOWN_CURLS]


def _tensors(specs: tuple[TensorSpec, ...]) -> str:
    return ", ".join(
        f"{spec.name} {spec.dtype}{list(spec.shape)}{'?' if spec.optional else ''}"
        for spec in specs
    )
