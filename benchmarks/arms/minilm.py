"""MiniLM with no server around it: where it is, and the bare engine at its best."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict, dataclass

from benchmarks.places import MADE_MODELS, PYTHON, SERVERS

MODEL = MADE_MODELS / "minilm"
TOKENS = MADE_MODELS / "minilm-tokens.json"


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
