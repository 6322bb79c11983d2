"""Peer: mosec, one worker, dynamic batching, V2 JSON."""

import json
import os

import numpy as np
from mosec import Server, Worker
from onnx_session import DigitsSession, v2_answer

MAX_WAIT_MS = 1  # the smallest that mosec takes; 0 means its default of 10


class Digits(Worker):
    """One process that classifies batches."""

    def __init__(self) -> None:
        self._session = DigitsSession()

    def forward(self, data: list[dict]) -> list[dict]:
        """Classify one batch of V2 requests of one row each; one V2 answer per request."""
        pixels = np.asarray([request["inputs"][0]["data"] for request in data], np.float32)
        label, probabilities = self._session.predict(pixels)
        return [v2_answer(label[i : i + 1], probabilities[i : i + 1]) for i in range(len(data))]

    def serialize(self, data: dict) -> bytes:
        """Encode one answer compactly; mosec's default indents, which costs it throughput."""
        return json.dumps(data).encode()


if __name__ == "__main__":
    os.environ.setdefault("MOSEC_ADDRESS", "127.0.0.1")
    server = Server()
    server.append_worker(
        Digits,
        num=1,
        max_batch_size=32,
        max_wait_time=MAX_WAIT_MS,
        route="/v2/models/digits/infer",
    )
    server.run()
