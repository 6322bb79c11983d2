"""What importing a library costs: median wall time of a fresh interpreter, in milliseconds.

``python -m benchmarks.import_times [rounds]`` prints a Markdown table. The arms take turns within
each round; ``pass`` is the interpreter alone. Libraries that are not installed are left out with
a line that says so. Source of the figures in docs/decisions/.
"""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys
import time

STATEMENTS = {
    "pass": "pass",
    "onnxruntime, numpy": "import onnxruntime, numpy",
    "numpy": "import numpy",
    "msgspec": "import msgspec",
    "pydantic": "import pydantic",
    "pydantic_settings": "import pydantic_settings",
    "starlette.applications": "import starlette.applications",
    "asyncio": "import asyncio",
    "typer": "import typer",
    "structlog": "import structlog",
    "uvicorn": "import uvicorn.protocols.http.httptools_impl",
    "grpc.aio": "import grpc.aio",
    "prometheus_client": "import prometheus_client",
    "rich.console": "import rich.console",
    "yaml": "import yaml",
    "watchfiles": "import watchfiles",
    "penstock.server.http": "import penstock.server.http",
}


def measure_ms(statement: str) -> float | None:
    """One fresh interpreter that runs ``statement``; None: it failed."""
    started = time.perf_counter()
    run = subprocess.run([sys.executable, "-c", statement], capture_output=True, timeout=60)
    return None if run.returncode else (time.perf_counter() - started) * 1e3


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 11
    times: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for name, statement in list(STATEMENTS.items()):
        if measure_ms(statement) is None:  # and compiles what is not compiled yet
            print(f"{name}: not installed, left out")
            del times[name]
    for _ in range(rounds):
        for name in times:
            took_ms = measure_ms(STATEMENTS[name])
            if took_ms is not None:
                times[name].append(took_ms)
    print(f"Python {platform.python_version()}, {rounds} rounds\n")
    print("| import | median ms | smallest | largest |\n|---|---|---|---|")
    for name, values in sorted(times.items(), key=lambda item: statistics.median(item[1])):
        print(
            f"| {name} | {statistics.median(values):.0f} | {min(values):.0f} | {max(values):.0f} |"
        )


if __name__ == "__main__":
    main()
