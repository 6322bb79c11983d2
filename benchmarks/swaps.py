"""Version swaps under load: new versions of digits appear while 64 connections ask.

Each swap copies the version folder to a name that begins with a dot and renames it, as a careful
publisher does, then waits until an answer names the new version. Counted are failed requests over
the whole run; compared are the latencies between a swap's rename and the moment after which the
new version answers (and half a second more) with those of the time between swaps. The server keeps
its own defaults, so versions that are no longer wanted are unloaded under the same load.

Writes benchmarks/results/swaps.json and .md. Exit status 1 when a request failed.
"""

from __future__ import annotations

import argparse
import http.client
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import machine
from benchmarks.arms.arm import ArmError
from benchmarks.arms.penstock import Penstock
from benchmarks.load.closed_loop import BackgroundLoad
from benchmarks.load.request_folder import write_requests
from benchmarks.percentiles import latency_summary_ms
from benchmarks.places import digits_repository, newest_onnx, without_root
from benchmarks.report import heading, write_result

AFTER_S = 0.5
WARM_UP_S = 1.0
SWAP_LIMIT_S = 60.0


def copy_repository(folder: Path) -> Path:
    """Copy the digits model below `folder`, with one version only; return the model's folder."""
    source = digits_repository()
    model = folder / "repository" / "digits"
    skip = shutil.ignore_patterns(".*", "__pycache__")
    shutil.copytree(source, model, ignore=skip)
    for version in model.iterdir():
        if version.is_dir() and version.name.isdigit() and version.name != "1":
            shutil.rmtree(version)
    return model


def publish(model: Path, version: int) -> float:
    """Add `version` as a copy of version 1; return when it was renamed (`time.monotonic`)."""
    hidden = model / f".incoming-{version}"
    shutil.copytree(model / "1", hidden)
    hidden.rename(model / str(version))
    return time.monotonic()


def answering_version(arm: Penstock) -> int | None:
    """Return the version that one answer names, None when it names none or the call fails."""
    connection = http.client.HTTPConnection("127.0.0.1", arm.http_port, timeout=5)
    request = arm.request()
    try:
        connection.request("POST", request.path, request.body, dict(request.headers))
        return int(json.loads(connection.getresponse().read())["model_version"])
    except (OSError, ValueError, KeyError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def swap(arm: Penstock, model: Path, version: int) -> dict[str, float]:
    """Publish `version` and wait until it answers; return when both happened.

    Raises ArmError when it does not answer within a minute.
    """
    renamed_s = publish(model, version)
    while time.monotonic() - renamed_s < SWAP_LIMIT_S:
        if answering_version(arm) == version:
            answered_s = time.monotonic()
            took_s = answered_s - renamed_s
            return {"version": version, "renamed_s": renamed_s, "took_s": took_s}
        time.sleep(0.02)
    raise ArmError(f"version {version} does not answer {SWAP_LIMIT_S:.0f} s after it was published")


def judge(records: list[tuple[float, float, bool]], swaps: list[dict[str, float]]) -> dict:
    """Return failures and the latencies within and outside of the windows of `swaps`.

    Failures count over the whole run; latencies of the first second of the load do not.
    """
    warm_s = records[0][0] + WARM_UP_S
    windows = [(one["renamed_s"], one["renamed_s"] + one["took_s"] + AFTER_S) for one in swaps]
    within: list[float] = []
    steady: list[float] = []
    per_swap: list[list[float]] = [[] for _ in windows]
    for when_s, latency_s, good in records:
        if not good or when_s < warm_s:
            continue
        for number, (begin, end) in enumerate(windows):
            if begin <= when_s <= end:
                within.append(latency_s)
                per_swap[number].append(latency_s)
                break
        else:
            steady.append(latency_s)
    found: dict = {
        "requests": len(records),
        "failed": sum(not good for _, _, good in records),
        "steady": latency_summary_ms(steady),
        "swapping": latency_summary_ms(within),
    }
    found["p99_ratio"] = found["swapping"]["p99_ms"] / found["steady"]["p99_ms"]
    for one, latencies in zip(swaps, per_swap, strict=True):
        if latencies:
            one["p99_ms"] = latency_summary_ms(latencies)["p99_ms"]
    return found


def markdown(document: dict) -> str:
    """Return the markdown page of the result."""
    found = document["found"]
    lines = [heading(document)]
    lines.append(
        f"{len(document['swaps'])} swaps, {found['requests']:,} requests over "
        f"{document['settings']['connections']} connections, {found['failed']} failed.\n"
    )
    lines += ["| when | p50 ms | p99 ms | p99.9 ms | max ms |", "|---|---|---|---|---|"]
    for name in ("steady", "swapping"):
        figures = [f"{found[name][key]:.2f}" for key in ("p50_ms", "p99_ms", "p999_ms", "max_ms")]
        lines.append(f"| {name} | " + " | ".join(figures) + " |")
    lines.append(f"\np99 while swapping / steady: {found['p99_ratio']:.2f}.\n")
    lines += ["| version | seconds until it answered | p99 ms |", "|---|---|---|"]
    for one in document["swaps"]:
        took, p99 = one["took_s"], one.get("p99_ms", 0)
        lines.append(f"| {one['version']:.0f} | {took:.2f} | {p99:.2f} |")
    return "\n".join(lines) + "\n"


def run(given: argparse.Namespace, folder: Path) -> dict:
    """Serve a copy, load it, swap, stop; return the fields of the result.

    Raises ArmError when the server does not start or a version never answers.
    """
    model = copy_repository(folder)
    onnx = newest_onnx(model)
    more = tuple(given.penstock_arguments)
    arm = Penstock(onnx, folder / "penstock", model.parent, more)
    requests = write_requests(folder / "requests", [arm.request()])
    swaps = []
    limit_s = given.swaps * (SWAP_LIMIT_S + given.settle) + 60
    try:
        arm.start()
        arm.wait_ready()
        out = folder / "records"
        with BackgroundLoad(arm.http_port, requests, out, given.connections, limit_s) as load:
            time.sleep(given.settle + WARM_UP_S)
            for version in range(3, 3 + given.swaps):
                swaps.append(swap(arm, model, version))
                print(f"version {version} after {swaps[-1]['took_s']:.2f} s", flush=True)
                time.sleep(given.settle + AFTER_S)
        return {"swaps": swaps, "found": judge(load.records(), swaps)}
    finally:
        arm.stop()


def main() -> int:
    """Entry point; returns 0, 1 when a request failed or the server could not be measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--swaps", type=int, default=10)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--settle", type=float, default=3.0, help="seconds between swaps")
    parser.add_argument("--name", default="swaps")
    parser.add_argument("penstock_arguments", nargs="*", help="after --: more of penstock serve")
    given = parser.parse_args()
    document = machine.heading_fields(given.name, "swaps")
    document["settings"] = {
        "swaps": given.swaps,
        "settle_s": given.settle,
        "connections": given.connections,
        "penstock_arguments": given.penstock_arguments,
    }
    document["how"] = f"one run, {given.settle:g} s between swaps"
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        try:
            document.update(run(given, Path(folder)))
        except (ArmError, FileNotFoundError) as error:
            print(f"LEFT OUT penstock: {without_root(str(error))}", file=sys.stderr)
            return 1
    write_result(document, markdown, picture=None)
    found = document["found"]
    print(f"{found['failed']} of {found['requests']} failed, p99 ratio {found['p99_ratio']:.2f}")
    return 1 if found["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
