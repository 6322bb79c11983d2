"""Closed loop over HTTP/1.1 with wrk: each connection sends its next request on an answer."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).with_name("post.lua")


class LoadError(RuntimeError):
    """A load generator could not run or said nothing that can be read."""


def run_wrk(
    port: int, folder: Path, connections: int, duration_s: float, timeout_s: float = 10.0
) -> dict[str, float]:
    """POST the requests of `folder` for `duration_s` over `connections` keep-alive connections.

    Returns requests, duration_s, req_s, p50_ms, p99_ms, p999_ms, mean_ms, max_ms, bytes, non_2xx
    (answers of status 400 and above), socket_errors and timeouts (answers later than `timeout_s`).
    One thread. Raises LoadError when wrk fails.
    """
    seconds = max(1, round(duration_s))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", f"--timeout={timeout_s:.0f}s"]
    command += ["-s", str(SCRIPT), f"http://127.0.0.1:{port}/", "--", str(folder)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds + timeout_s + 20, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise LoadError(f"wrk did not end: {' '.join(command)}") from error
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            result = json.loads(line.removeprefix("RESULT "))
            good = result["requests"] - result["non_2xx"]
            result["req_s"] = good / result["duration_s"]
            return result
    raise LoadError(f"wrk printed no result: {(done.stderr or done.stdout).strip()[-400:]}")
