"""Penstock serving the tweet model over the Open Inference Protocol."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from benchmarks.arms.arm import Arm, ArmError
from benchmarks.arms.penstock import serve_command
from benchmarks.messages import Answer
from benchmarks.tweet_texts import load_tweets, v2_request

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.messages import HttpRequest

LABELS = ("negative", "neutral", "positive")
_TOLERANCE = 5e-3  # of a score; the engine's kernels differ a little with the batch's shape


def near(label: str, got: Answer, expected: list[float]) -> None:
    """Compare an answer with the bare model's scores; ArmError when it is another."""
    far = max(abs(a - b) for a, b in zip(got.probabilities, expected, strict=True))
    if far > _TOLERANCE:
        raise ArmError(f"{label} answered {got.probabilities}, the bare model {expected}")


class TweetPenstock(Arm):
    """`penstock serve` on the model's folder, defaults and the model's own model.yaml."""

    label = "penstock"
    note = "penstock serve MODEL, one process, defaults; V2 JSON"
    packages = ("penstock", "uvicorn", "httptools", "onnxruntime", "tokenizers", "numpy", "msgspec")
    ready_path = "/readyz"

    def __init__(self, model: Path, folder: Path) -> None:
        super().__init__(model, folder)
        self.model = model

    def command(self) -> list[str]:
        """Return the command line of the server."""
        return serve_command(self.model, self.http_port, self.grpc_port)

    def request(self) -> HttpRequest:
        """Return the request of the first tweet."""
        return v2_request(self.model.name, load_tweets()[:1])

    def read_answer(self, body: bytes) -> Answer:
        """Return label and scores of the first row."""
        outputs = {output["name"]: output["data"] for output in json.loads(body)["outputs"]}
        return Answer(LABELS.index(outputs["label"][0]), tuple(outputs["scores"][:3]))

    def check(self, expected: list[float]) -> None:
        """Ask once. Raises ArmError when the scores are not the bare model's `expected`."""
        near(self.label, self.call_http(), expected)
