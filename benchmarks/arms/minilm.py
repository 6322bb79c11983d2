"""The arms of the compute workload: the bare engine at its best, and Penstock on the same model."""

from __future__ import annotations

import json
import struct
import subprocess
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from benchmarks.arms.arm import Arm, ArmError
from benchmarks.arms.penstock import serve_command
from benchmarks.messages import Answer, HttpRequest, v2_binary
from benchmarks.places import MADE_MODELS, PYTHON, SERVERS

if TYPE_CHECKING:
    from pathlib import Path

MODEL = MADE_MODELS / "minilm"
TOKENS = MADE_MODELS / "minilm-tokens.json"
PATH = "/v2/models/minilm/infer"


@dataclass(frozen=True)
class FloorChoice:
    """One way of looping over the bare engine."""

    batch: int
    order: str
    sessions: int
    threads: int

    def __str__(self) -> str:
        layout = f"{self.sessions} session(s) of {self.threads} thread(s)"
        return f"batch {self.batch}, {self.order} order, {layout}"


FLOOR_CHOICES = [
    FloorChoice(batch, order, sessions, threads)
    for sessions, threads in ((1, 1), (1, 2), (2, 1))
    for batch in (1, 4, 8, 16)
    for order in (("arrival",) if batch == 1 else ("arrival", "sorted"))
]
SINGLE = FloorChoice(1, "arrival", 1, 2)
SINGLE_AS_SERVED = FloorChoice(1, "arrival", 1, 1)


def load_tokens() -> list[list[int]]:
    """Return the corpus as token ids; FileNotFoundError says how to make it."""
    if not TOKENS.exists() or not (MODEL / "1" / "model.onnx").exists():
        raise FileNotFoundError(
            f"no model in {MODEL}; make it with `.venv/bin/python -m benchmarks.venvs export` and "
            "`.bench-venvs/export/bin/python -m benchmarks.models.export_minilm`"
        )
    tokens: list[list[int]] = json.loads(TOKENS.read_text())
    return tokens


def measure(choice: FloorChoice, duration_s: float) -> dict[str, float]:
    """Run the bare engine as `choice` says; return sentences_s, run_median_ms and runs.

    Raises RuntimeError when the loop fails.
    """
    command = [str(PYTHON), str(SERVERS / "minilm_floor.py"), str(MODEL / "1" / "model.onnx")]
    command += [str(TOKENS), str(duration_s), *map(str, asdict(choice).values())]
    limit_s = duration_s + 90
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the floor loop failed: {done.stderr.strip()[-400:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def json_request(ids: list[int]) -> HttpRequest:
    """Return the V2 JSON request of one sentence."""
    inputs = [
        {"name": name, "shape": [1, len(ids)], "datatype": "INT64", "data": data}
        for name, data in (("input_ids", ids), ("attention_mask", [1] * len(ids)))
    ]
    return HttpRequest(PATH, json.dumps({"inputs": inputs}).encode())


def binary_request(ids: list[int]) -> HttpRequest:
    """Return the V2 request of one sentence with binary tensors in both directions."""
    shape = [1, len(ids)]
    tensors = {
        name: ("INT64", shape, struct.pack(f"<{len(data)}q", *data))
        for name, data in (("input_ids", ids), ("attention_mask", [1] * len(ids)))
    }
    return v2_binary(PATH, tensors)


class PenstockMiniLm(Arm):
    """`penstock serve` on the exported MiniLM and the model.yaml beside it."""

    label = "penstock"
    note = "penstock serve .bench-models/minilm with the model.yaml that the export writes"
    packages = ("penstock", "uvicorn", "httptools", "onnxruntime", "numpy", "msgspec")
    ready_path = "/readyz"

    def __init__(self, folder: Path, more: tuple[str, ...] = ()) -> None:
        super().__init__(MODEL / "1" / "model.onnx", folder)
        self._more = more
        self._ids = load_tokens()[0]

    def command(self) -> list[str]:
        """Return the command line of the server."""
        return serve_command(MODEL, self.http_port, self.grpc_port, *self._more)

    def request(self) -> HttpRequest:
        """Return the request of the first sentence."""
        return json_request(self._ids)

    def read_answer(self, body: bytes) -> Answer:
        """Return the embedding as the answer's numbers."""
        (output,) = json.loads(body)["outputs"]
        return Answer(0, tuple(output["data"]))

    def expected(self) -> Answer:
        """Return what the model itself says of the first sentence."""
        command = [str(PYTHON), str(SERVERS / "minilm_embed.py"), str(self.onnx)]
        command.append(json.dumps(self._ids))
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
        if done.returncode != 0:
            raise ArmError(f"the bare model failed: {done.stderr.strip()[-300:]}")
        return Answer(0, tuple(json.loads(done.stdout)))
