"""Closed loop over gRPC with h2load: unary calls with one pre-encoded frame."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.load.wrk import LoadError
from benchmarks.percentiles import latency_summary_ms

if TYPE_CHECKING:
    from pathlib import Path

_STATUS = re.compile(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx")
_REQUESTS = re.compile(
    r"requests: (\d+) total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed, (\d+) errored"
)
_TRAFFIC = re.compile(r"traffic: .*\((\d+)\) data")


@dataclass(frozen=True)
class Calls:
    """The calls of one load.

    `frame` is a file with the length-prefixed request, `path` the method's; `answer_bytes` is the
    size of one good answer with its prefix.
    """

    port: int
    path: str
    frame: Path
    answer_bytes: int


def run_h2load(calls: Calls, connections: int, streams: int, duration_s: float) -> dict[str, float]:
    """Make `calls` for `duration_s`, `streams` in flight on each of `connections`.

    h2load sees HTTP status only, so an answer counts as good when the bytes of
    data received account for it: a call refused in its trailers carries none.

    Returns requests (good), req_s, failed, p50_ms, p99_ms, p999_ms, mean_ms, max_ms.
    Raises LoadError when h2load fails.
    """
    log = calls.frame.with_name(f"h2load-{connections}x{streams}.log")
    log.unlink(missing_ok=True)
    seconds = max(1, round(duration_s))
    command = ["h2load", "-t1", f"-c{connections}", f"-m{streams}", f"-D{seconds}"]
    command += [f"--log-file={log}", f"-d{calls.frame}"]
    command += ["-H", "content-type: application/grpc", "-H", "te: trailers"]
    command.append(f"http://127.0.0.1:{calls.port}{calls.path}")
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds + 30, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise LoadError(f"h2load did not end: {' '.join(command)}") from error
    counts, status, traffic = (
        pattern.search(done.stdout) for pattern in (_REQUESTS, _STATUS, _TRAFFIC)
    )
    if not (counts and status and traffic):
        raise LoadError(f"h2load printed no result: {(done.stderr or done.stdout)[-400:]}")
    succeeded, failed, errored = (int(counts[i]) for i in (2, 3, 4))
    good = min(succeeded, round(int(traffic[1]) / calls.answer_bytes))
    latencies = _latencies_s(log)
    log.unlink(missing_ok=True)
    if not latencies:
        raise LoadError("h2load finished no call")
    result: dict[str, float] = {"requests": good, "req_s": good / seconds}
    result["failed"] = failed + errored + (succeeded - good)
    return {**result, **latency_summary_ms(latencies)}


def _latencies_s(log: Path) -> list[float]:
    """Return the latencies in seconds from h2load's log: start in us, status, duration in us."""
    found = []
    for line in log.read_text().splitlines():
        columns = line.split("\t")
        if len(columns) == 3 and columns[1].startswith("2"):
            found.append(int(columns[2]) / 1e6)
    return found
