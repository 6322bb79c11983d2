"""What starting the command line may import: ``penstock serve`` should be there at once."""

from __future__ import annotations

import subprocess
import sys

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
