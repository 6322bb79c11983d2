"""Startup: from the process's start to the first digits prediction over REST.

Compared with the same interpreter importing what any such server needs:
``python -c "import onnxruntime, numpy"``. Runs alternate; the first of each kind is thrown away.
Writes benchmarks/results/startup.json and .md.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import machine
from benchmarks.arms.arm import ArmError
from benchmarks.arms.penstock import Penstock
from benchmarks.load.connection import answer_status, to_bytes
from benchmarks.percentiles import spread
from benchmarks.places import PYTHON, digits_repository, newest_onnx
from benchmarks.report import cell, heading, write_result

POLL_S = 0.002
LIMIT_S = 60.0


def answered(port: int, request: bytes) -> bool:
    """Send `request` on a new connection; True when the answer's status is 200."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(request)
            received = b""
            while (status := answer_status(received)) is None:
                part = connection.recv(65536)
                if not part:
                    return False
                received += part
            return status == 200
    except OSError:
        return False


def first_prediction_s(arm: Penstock) -> float:
    """Start `arm`, poll until it predicts, stop it; return the seconds it took.

    Raises ArmError when the server ends or takes longer than a minute.
    """
    started = time.perf_counter()
    arm.start()
    request = to_bytes(arm.request(), arm.http_port)
    try:
        while time.perf_counter() - started < LIMIT_S:
            if answered(arm.http_port, request):
                return time.perf_counter() - started
            if arm.server is None or arm.server.exited() is not None:
                tail = arm.server.log_tail() if arm.server else ""
                raise ArmError(f"the server ended; its log ends:\n{tail}")
            time.sleep(POLL_S)
    finally:
        arm.stop()
    raise ArmError(f"no prediction within {LIMIT_S:.0f} s")


def imports_s() -> float:
    """Return the seconds of `python -c "import onnxruntime, numpy"`, start to end."""
    started = time.perf_counter()
    command = [str(PYTHON), "-c", "import onnxruntime, numpy"]
    subprocess.run(command, check=True, timeout=LIMIT_S, stdin=subprocess.DEVNULL)
    return time.perf_counter() - started


def markdown(document: dict) -> str:
    """Return the markdown page of the result."""
    return (
        f"{heading(document)}\n| what | seconds |\n|---|---|\n"
        f"| process start to first prediction | {cell(document['first_prediction_s'])} |\n"
        f"| import onnxruntime, numpy | {cell(document['imports_s'])} |\n"
        f"| ratio of the medians | {document['ratio']:.2f} |\n"
    )


def main() -> int:
    """Entry point; returns the exit status, 1 when the server does not start."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--name", default="startup")
    given = parser.parse_args()
    document = machine.heading_fields(given.name, "startup")
    document["settings"] = {"runs": given.runs}
    document["how"] = f"{given.runs} runs of each kind, alternating"
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        arm = Penstock(newest_onnx(digits_repository()), Path(folder) / "penstock")
        served, imported = [], []
        try:
            for number in range(given.runs + 1):
                served.append(first_prediction_s(arm))
                imported.append(imports_s())
                print(f"{number}: {served[-1]:.3f} s, imports {imported[-1]:.3f} s", flush=True)
        except ArmError as error:
            print(f"LEFT OUT penstock: {error}", file=sys.stderr)
            return 1
    document["first_prediction_s"] = spread(served[1:])
    document["imports_s"] = spread(imported[1:])
    ratio = document["first_prediction_s"]["median"] / document["imports_s"]["median"]
    document["ratio"] = ratio
    document["runs"] = {"first_prediction_s": served, "imports_s": imported}
    write_result(document, markdown, picture=None)
    print(f"ratio {ratio:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
