"""Serve the digits of ``models/`` and ask them over REST and gRPC; run by ``make demo-digits``.

Needs a plain install of Penstock with the extras ``onnx`` and ``image``. Exits with 0 if every
answer came, the pictures were read right and both versions reach 80 % on the held-out digits.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from rich.console import Console
from rich.table import Table
from server import serving

from penstock.dialects.open_inference.proto import grpc_predict_v2_pb2 as pb
from penstock.dialects.open_inference.proto.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1] / "models"
SERVED = (REPOSITORY / "digits", REPOSITORY / "digits-pipeline")
MODELS = ("digits/versions/stable", "digits/versions/canary", "digits-pipeline")
PICTURES = {"digit-3.png": "3", "digit-5.png": "5", "digit-8.png": "8", "blank.png": "refused"}
ROWS_PER_REQUEST = 30
SHOWN = 10
MIN_ACCURACY = 0.8
Ask = Callable[[str, np.ndarray], list[int]]


def main() -> int:
    """Run the demo; returns the exit status."""
    console, started = Console(width=100), time.perf_counter()
    with serving(SERVED, MODELS) as (url, target), grpc.insecure_channel(target) as channel:
        names = " and ".join(path.name for path in SERVED)
        console.print(f"serving {names} on {url} and, over gRPC, {target}\n")
        stub = GRPCInferenceServiceStub(channel)
        doors = {"REST": partial(_ask_rest, url), "gRPC": partial(_ask_grpc, stub)}
        accuracies = _ask_all(console, doors)
        pictures = {name: _ask_picture(url, HERE / name) for name in PICTURES}
        console.print(*(f"{name} -> {answer}" for name, answer in pictures.items()), sep="\n")
    console.print(f"\ndone in {time.perf_counter() - started:.1f} s")
    read_right = all(pictures[name].startswith(truth) for name, truth in PICTURES.items())
    return 0 if read_right and min(accuracies) >= MIN_ACCURACY else 1


def _ask_all(console: Console, doors: dict[str, Ask]) -> list[float]:
    """Every held-out digit to both versions over both protocols; prints answers and accuracies."""
    with np.load(HERE / "held_out.npz") as held_out:
        pixels, truth = held_out["pixels"].astype("<f4"), held_out["labels"]
    table, lines, accuracies = Table("truth", title="held-out digits"), [], []
    columns = [[str(digit) for digit in truth[:SHOWN]]]
    for door, ask in doors.items():
        for version in ("stable", "canary"):
            since, answers = time.perf_counter(), []
            for first in range(0, len(pixels), ROWS_PER_REQUEST):
                answers += ask(version, pixels[first : first + ROWS_PER_REQUEST])
            took_ms = (time.perf_counter() - since) * 1e3
            accuracies.append(float(np.mean(np.array(answers) == truth)))
            result = f"accuracy {accuracies[-1]:.4f} on {len(truth)} digits, {took_ms:.0f} ms"
            lines.append(f"{door} {version}: {result}")
            table.add_column(f"{door} {version}")
            pairs = zip(answers[:SHOWN], truth, strict=False)
            columns.append([f"{a}" if a == t else f"[red]{a} (wrong)[/]" for a, t in pairs])
    for row in zip(*columns, strict=True):
        table.add_row(*row)
    console.print(table, *lines, "", sep="\n")
    return accuracies


def _ask_rest(url: str, version: str, pixels: np.ndarray) -> list[int]:
    tensor = {"name": "pixels", "datatype": "FP32", "shape": pixels.shape, "data": pixels.tolist()}
    body = json.dumps({"inputs": [tensor]})
    return _post(f"{url}/v2/models/digits/versions/{version}/infer", body)["label"]


def _ask_grpc(stub: Any, version: str, pixels: np.ndarray) -> list[int]:
    request = pb.ModelInferRequest(
        model_name="digits",
        model_version=version,
        inputs=[{"name": "pixels", "datatype": "FP32", "shape": pixels.shape}],
        outputs=[{"name": "label"}],
        raw_input_contents=[pixels.tobytes()],
    )
    reply = stub.ModelInfer(request, timeout=10)
    return np.frombuffer(reply.raw_output_contents[0], "<i8").tolist()


def _ask_picture(url: str, path: Path) -> str:
    """Send a file's bytes behind the JSON: the binary data extension."""
    element = path.read_bytes()
    raw = len(element).to_bytes(4, "little") + element
    tensor = {"name": "png", "datatype": "BYTES", "shape": [1]}
    head = json.dumps({"inputs": [tensor | {"parameters": {"binary_data_size": len(raw)}}]})
    try:
        reply = _post(f"{url}/v2/models/digits-pipeline/infer", head, raw)
    except urllib.error.HTTPError as refusal:
        if refusal.code != 400:
            raise
        return f"refused: {json.load(refusal)['error']}"
    return f"{reply['digit'][0]}, confidence {reply['confidence'][0]:.2f}"


def _post(url: str, document: str, raw: bytes = b"") -> dict[str, Any]:
    headers = {"Inference-Header-Content-Length": str(len(document))} if raw else {}
    headers["Content-Type"] = "application/octet-stream" if raw else "application/json"
    request = urllib.request.Request(url, document.encode() + raw, headers)
    with urllib.request.urlopen(request, timeout=10) as reply:
        return {output["name"]: output["data"] for output in json.load(reply)["outputs"]}


if __name__ == "__main__":
    sys.exit(main())
