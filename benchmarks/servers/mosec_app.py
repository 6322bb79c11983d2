"""Peer: mosec, worker processes with dynamic batching where there is any."""

import json
import os

import workload_model
from mosec import Server, Worker

MAX_WAIT_MS = 1  # the smallest that mosec takes; 0 means its default of 10


class Batches(Worker):
    """V2 JSON, a batch at a time."""

    def __init__(self) -> None:
        self._model = workload_model.load()

    def forward(self, data: list[dict]) -> list[dict]:
        """Answer one batch of requests of one row each."""
        outputs = self._model.predict(workload_model.batch_of(data))
        return workload_model.answers_of(outputs, len(data))

    def serialize(self, data: dict) -> bytes:
        """Encode one answer compactly; mosec's default indents, which costs it throughput."""
        return json.dumps(data).encode()


class Single(Batches):
    """V2 JSON, one request at a time: mosec calls `forward` so where there is no batching."""

    def forward(self, data: dict) -> dict:
        """Answer one request."""
        return workload_model.v2_answer(self._model.predict(workload_model.batch_of([data])))


class Raw(Batches):
    """Bare bytes in and out, one request at a time."""

    def deserialize(self, data: bytes) -> dict:
        """Take the body as the tensor's bytes."""
        return workload_model.image_of(data)

    def forward(self, data: dict) -> dict:
        """Answer one request."""
        return self._model.predict(data)

    def serialize(self, data: dict) -> bytes:
        """Return the only output's bytes."""
        return data["means"].tobytes()


if __name__ == "__main__":
    os.environ.setdefault("MOSEC_ADDRESS", "127.0.0.1")
    server = Server()
    batching = workload_model.MAX_BATCH > 1
    server.append_worker(
        Raw if workload_model.RAW else Batches if batching else Single,
        num=workload_model.PROCESSES,
        max_batch_size=workload_model.MAX_BATCH,
        max_wait_time=MAX_WAIT_MS if batching else 0,
        route=workload_model.PATH,
    )
    server.run()
