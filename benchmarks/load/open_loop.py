"""Open loop over HTTP/1.1: requests leave on a schedule, whatever the server does.

The loop itself is `open_loop.c`, compiled at first use: a Python loop would take the core that the
server needs. A request's latency runs from the moment it was due, not from when it could be sent: a
request that finds no free connection waits, and its wait counts. A failed request (cut off, status
400 and above, no answer within the timeout) counts in the distribution at the timeout.

`lag` in the result is how late the generator itself was with a request that had a free connection:
when its p99 passes a millisecond, the tail is the generator's or the machine's.
"""

from __future__ import annotations

import random
import struct
import subprocess
from array import array
from pathlib import Path

from benchmarks.load.connection import to_bytes
from benchmarks.load.request_folder import read_requests
from benchmarks.load.wrk import LoadError
from benchmarks.percentiles import latency_summary_ms, percentile
from benchmarks.places import VENVS

SOURCE = Path(__file__).with_name("open_loop.c")
PROGRAM = VENVS / "open_loop"
CEILING = 40_000.0  # requests/s: takes about half a core, beside a server on the other


def compiled() -> Path:
    """Return the generator's program, compiled anew when its source is newer.

    Raises LoadError when it cannot be.
    """
    if not PROGRAM.exists() or PROGRAM.stat().st_mtime < SOURCE.stat().st_mtime:
        PROGRAM.parent.mkdir(parents=True, exist_ok=True)
        command = ["cc", "-O2", "-o", str(PROGRAM), str(SOURCE)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
        except (OSError, subprocess.SubprocessError) as error:
            raise LoadError(f"the open-loop generator could not be compiled: {error}") from error
    return PROGRAM


def schedule(rate: float, duration_s: float, arrivals: str, seed: int) -> list[float]:
    """Return the due times in seconds from the start, ascending, at `rate` per second.

    `arrivals` is "poisson" (independent users) or "constant" (a metronome).
    """
    count = max(1, int(rate * duration_s))
    if arrivals == "constant":
        return [number / rate for number in range(count)]
    source = random.Random(seed)
    at, due = 0.0, []
    for _ in range(count):
        at += source.expovariate(rate)
        due.append(at)
    return due


def write_input(path: Path, requests: list[bytes], due: list[float]) -> None:
    """Write what the generator reads: counts, requests with their lengths, due times."""
    with path.open("wb") as out:
        out.write(struct.pack("=QQ", len(requests), len(due)))
        for request in requests:
            out.write(struct.pack("=Q", len(request)))
            out.write(request)
        array("d", due).tofile(out)


def read_output(path: Path) -> tuple[int, float, list[float], list[float]]:
    """Return failures, seconds of sending, latencies and lags, in seconds, of a run."""
    values = array("d")
    values.frombytes(path.read_bytes())
    latencies = values[3 : 3 + int(values[2])]
    return int(values[0]), values[1], list(latencies), list(values[4 + len(latencies) :])


def run_open_loop(
    port: int,
    folder: Path,
    rate: float,
    duration_s: float,
    *,
    connections: int = 64,
    arrivals: str = "poisson",
    timeout_s: float = 5.0,
) -> dict[str, float]:
    """POST the requests of `folder` for `duration_s` seconds at `rate` requests/s.

    Returns rate_asked, rate_sent, requests, failed, connections, arrivals, timeout_s, lag_p99_ms
    and p50_ms, p99_ms, p999_ms, mean_ms, max_ms. Raises LoadError when the generator fails or does
    not end in time.
    """
    given, found = folder / "open_loop.in", folder / "open_loop.out"
    requests = [to_bytes(request, port) for request in read_requests(folder)]
    write_input(given, requests, schedule(rate, duration_s, arrivals, seed=1))
    command = [str(compiled()), str(port), str(connections), str(timeout_s), str(given), str(found)]
    limit_s = duration_s * 1.5 + timeout_s + 20
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=limit_s)
    except subprocess.TimeoutExpired as error:
        raise LoadError("the open-loop generator did not end") from error
    except subprocess.CalledProcessError as error:
        raise LoadError(f"the open-loop generator failed: {error.stderr.strip()}") from error
    failures, took_s, latencies, lags = read_output(found)
    return {
        "rate_asked": rate,
        "rate_sent": len(latencies) / took_s if took_s > 0 else rate,
        "requests": len(latencies),
        "failed": failures,
        "connections": connections,
        "arrivals": arrivals,
        "timeout_s": timeout_s,
        "lag_p99_ms": percentile(sorted(lags) or [0.0], 0.99) * 1e3,
        **latency_summary_ms(latencies),
    }
