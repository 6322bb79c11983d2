"""Flame graphs of the server under load: where the time of a request goes, before and after.

For each workload Penstock is started as for `benchmarks.run`, loaded at 32 connections (gRPC: 32
streams), and watched by py-spy, which reads the stacks of a running process and does not stop it.
Writes docs/img/flames/WORKLOAD-ENCODING-NAME.svg. `BENCH_PENSTOCK=/path/to/penstock` watches
another build: `git worktree add /tmp/before COMMIT`, an environment with it, `--name before`.

Run: ``.venv/bin/python -m benchmarks.venvs profile`` once, then
``.venv/bin/python -m benchmarks.flames --name after [--only tiny-json,image-binary]``
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from threading import Thread

from benchmarks.arms.penstock import PenstockServe
from benchmarks.load.h2load import Calls, run_h2load
from benchmarks.load.request_folder import write_requests
from benchmarks.load.wrk import run_wrk
from benchmarks.places import ROOT, VENVS
from benchmarks.protobuf import grpc_frame
from benchmarks.workloads.registry import WORKLOADS

FLAMES = ROOT / "docs" / "img" / "flames"
PROFILER = VENVS / "profile" / "bin" / "py-spy"
LOADS = {
    "tiny-json": ("tiny", "json"),
    "tiny-grpc": ("tiny", "grpc"),
    "image-binary": ("image", "binary"),
    "minilm-json": ("minilm", "json"),
    "gil-json": ("gil", "json"),
}
IN_FLIGHT = 32
LOAD_S = 10.0
WATCH_S = 6
RATE_HZ = 500

_TITLE = re.compile(r'(<text id="title"[^>]*>)[^<]*(</text>)')
_PATH = re.compile(r"(?<![:/\w.-])(?:/[\w.-]+)+/(?=[\w.-])")
"""The folders of a path: where this machine keeps things is no news."""


def load(arm: PenstockServe, encoding: str, duration_s: float) -> dict[str, float]:
    """Keep 32 requests in flight for so long; returns what the load generator found."""
    if encoding == "grpc":
        call = arm.grpc_call(arm.workload.samples[0])
        frame = arm.folder / "request.frame"
        frame.write_bytes(grpc_frame(call.message))
        size = len(grpc_frame(arm.call_bytes(call)))
        return run_h2load(Calls(arm.grpc_port, call.path, frame, size), 1, IN_FLIGHT, duration_s)
    requests = [arm.http_request(encoding, sample) for sample in arm.workload.samples]
    folder = write_requests(arm.folder / "requests", requests)
    return run_wrk(arm.http_port, folder, IN_FLIGHT, duration_s)


def watch(pid: int, target: Path, title: str) -> None:
    """Write the flame graph of a process and its children; raises CalledProcessError."""
    command = [str(PROFILER), "record", "--pid", str(pid), "--duration", str(WATCH_S)]
    command += ["--rate", str(RATE_HZ), "--nonblocking", "--subprocesses", "--function"]
    command += ["--format", "flamegraph", "--output", str(target)]
    subprocess.run(command, check=True, capture_output=True, timeout=10 * WATCH_S)
    drawn = _TITLE.sub(rf"\g<1>{title}\g<2>", target.read_text(), count=1)
    target.write_text(_PATH.sub("", drawn))


def draw(name: str, suffix: str, folder: Path) -> None:
    """Start, load, watch and stop the server of one workload."""
    workload, encoding = LOADS[name]
    arm = PenstockServe(WORKLOADS[workload](), folder / name)
    arm.folder.mkdir(parents=True, exist_ok=True)
    try:
        arm.start()
        arm.wait_first_answer()
        arm.check()
        load(arm, encoding, 1.0)
        loading = Thread(target=load, args=(arm, encoding, LOAD_S), daemon=True)
        loading.start()
        time.sleep(1.0)  # the load's own beginning is not of interest
        watch(arm.tree()[0].pid, FLAMES / f"{name}-{suffix}.svg", f"{name}, {suffix}")
        loading.join()
    finally:
        arm.stop()


def main() -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="such as before or after")
    parser.add_argument("--only", default=",".join(LOADS), help=f"of {', '.join(LOADS)}")
    given = parser.parse_args()
    FLAMES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="penstock-flames-") as folder:
        for name in given.only.split(","):
            draw(name, given.name, Path(folder))
            print(f"wrote {FLAMES / name}-{given.name}.svg", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
