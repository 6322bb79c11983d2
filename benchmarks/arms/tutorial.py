"""Peer: the design of the tutorials, FastAPI around a TorchScript model."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

from benchmarks.arms.arm import Arm, ArmError
from benchmarks.messages import Answer
from benchmarks.places import MADE_MODELS, ROOT, venv_python
from benchmarks.tweet_texts import load_tweets, text_request

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.messages import HttpRequest

MODEL = MADE_MODELS / "tutorial"
PATH = "/predict"
_MAKE_S = 180.0


class Tutorial(Arm):
    """What a person serves who follows a tutorial: no batching, no store, fp32."""

    label = "tutorial"
    note = (
        "FastAPI, uvicorn[standard], 1 worker; TorchScript fp32 of MiniLM-L6 with 3 classes, "
        "AutoTokenizer, one call a request in a sync endpoint, torch's default threads"
    )
    packages = ("torch", "transformers", "tokenizers", "fastapi", "uvicorn", "pydantic")
    ready_path = "/readyz"

    def __init__(self, folder: Path) -> None:
        super().__init__(MODEL, folder)

    def prepare(self) -> None:
        """Make the model unless it is there. Raises ArmError, saying why, when it cannot be."""
        if (MODEL / "model.pt").exists():
            return
        try:
            command = [str(self.interpreter()), "-m", "benchmarks.tweet_tutorial_model"]
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_MAKE_S, cwd=ROOT, check=False
            )
        except (FileNotFoundError, subprocess.TimeoutExpired) as error:
            raise ArmError(str(error)) from error
        if done.returncode != 0:
            raise ArmError(f"the tutorial's model could not be made: {done.stderr.strip()[-600:]}")

    def interpreter(self) -> Path:
        """Return the interpreter of the peer's environment."""
        return venv_python("tutorial")

    def command(self) -> list[str]:
        """Return the command line of the server."""
        command = [str(self.interpreter()), "-m", "uvicorn", "tutorial_app:app"]
        command += ["--host", "127.0.0.1", "--port", str(self.http_port), "--workers", "1"]
        return [*command, "--no-access-log", "--log-level", "warning"]

    def request(self) -> HttpRequest:
        """Return the request of the first tweet."""
        return text_request(PATH, load_tweets()[0])

    def read_answer(self, body: bytes) -> Answer:
        """Return label and scores."""
        found = json.loads(body)
        scores = tuple(found["scores"])
        return Answer(scores.index(max(scores)), scores)

    def check(self) -> None:
        """Ask once. Raises ArmError when the answer is not three scores that sum to 1."""
        scores = self.call_http().probabilities
        if len(scores) != 3 or abs(sum(scores) - 1) > 1e-3:
            raise ArmError(f"tutorial answered wrongly: {scores}")
