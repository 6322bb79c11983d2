"""What ``penstock serve`` prints when it is ready."""

from __future__ import annotations

import sys
from typing import Any

from rich.table import Table

from penstock.app.cli.model_tables import plain_table
from penstock.app.cli.options import print_lines
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
    service = server.assembly.service
    models = service.ready_models()
    statuses = service.manager.statuses()
    num_cold = sum(status.state in _COLD for status in statuses)
    failed = ", ".join(one.subject for one in statuses if one.state is VersionState.FAILED)
    lines: list[Any] = []
    if models or not num_cold:
        lines.append(_table(models) if models else "no model serves")
    if num_cold:
        lines.append(f"{num_cold} versions are loaded when they are asked for")
    if failed:
        lines.append(f"failed: {failed}; the log says why")
    base = f"http://{address(server.host, server.http_port)}"
    lines.append(f"REST {base}  docs {base}/docs  metrics {base}/metrics")
    if server.num_processes > 1:
        lines.append(f"{server.num_processes} serving processes")
    if server.grpc_port:
        lines.append(f"gRPC {address(server.host, server.grpc_port)}")
    print_lines(*lines, *_curls(models, base), file=sys.stderr)


def _table(models: list[ModelInfo]) -> Table:
    table = plain_table("model", "version", "runtime", "inputs", "outputs")
    for info in models:
        table.add_row(
            info.id.name,
            str(info.id.version),
            info.runtime,
            _tensors(info.signature.inputs),
            _tensors(info.signature.outputs),
        )
    return table


def _curls(models: list[ModelInfo], base: str) -> list[str]:
    newest = {info.id.name: info for info in models}
    lines = (example_curl(info.id.name, info.signature, base) for info in newest.values())
    return [line for line in lines if line][:_SHOWN_CURLS]


def _tensors(specs: tuple[TensorSpec, ...]) -> str:
    return ", ".join(
        f"{spec.name} {spec.dtype}{list(spec.shape)}{'?' if spec.optional else ''}"
        for spec in specs
    )
