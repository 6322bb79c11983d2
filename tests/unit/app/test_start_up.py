"""What starting the command line may import: ``penstock serve`` should be there at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_SLOW = (
    "rich",
    "yaml",
    "http.client",
    "urllib.request",
    "csv",
    "uvicorn",
    "grpc",
    "uvloop",
    "psutil",
    "onnxruntime",
)


def test_commands_leave_the_slow_imports_to_those_who_need_them() -> None:
    code = f"import sys, penstock.app.cli.main; print([m for m in {_SLOW} if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


_OF_SEVERAL = (
    "sqlite3",
    "penstock.app.processes.member",
    "penstock.app.processes.supervisor",
    "penstock.lifecycle.reconciler",
    "penstock.server.shared_state",
    "penstock.server.siblings",
    "penstock.stores",
    "penstock.app.traffic_engine",
    "penstock.evidence",
    "penstock.rollout",
    "penstock.router.shadow",
    "penstock.server.control_api",
    "penstock.server.experiment_api",
)


def test_a_server_imports_nothing_of_several_processes_or_of_routes_before_it_has_them(
    tmp_path: Path,
) -> None:
    code = f"""
import asyncio, sys
from penstock.app.load_settings import load_settings
from penstock.app.serve import serve

async def main():
    flags = {{"http.port": 0, "grpc.enabled": False, "watch.settle_s": 0}}
    settings, _ = load_settings(config=None, environ={{}}, flags=flags)
    ready = asyncio.Event()
    async def on_ready(server):
        ready.set()
    serving = asyncio.create_task(serve([{str(tmp_path)!r}], settings, on_ready))
    await asyncio.wait([asyncio.create_task(ready.wait()), serving], return_when="FIRST_COMPLETED")
    print([m for m in {_OF_SEVERAL} if m in sys.modules])
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)

asyncio.run(main())
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
