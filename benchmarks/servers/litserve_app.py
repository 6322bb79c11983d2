"""Peer: LitServe, worker processes, batching where there is any."""

import os

import litserve
import numpy as np
import workload_model
from fastapi import Request, Response

BATCHING = workload_model.MAX_BATCH > 1


class V2Json(litserve.LitAPI):
    """The workload's model behind LitServe's hooks, V2 JSON."""

    def setup(self, device: str) -> None:
        """Open the model in the worker process."""
        self._model = workload_model.load()

    def predict(self, request: dict) -> dict:
        """Answer one V2 request."""
        return workload_model.v2_answer(self._model.predict(workload_model.batch_of([request])))


class Batches(V2Json):
    """The same with batches; rows may differ in length, so a batch is a list until it is padded."""

    def batch(self, inputs: list[dict]) -> list[dict]:
        """Keep the requests as they are."""
        return inputs

    def predict(self, requests: list[dict]) -> list[dict]:
        """Answer one batch of V2 requests of one row each."""
        outputs = self._model.predict(workload_model.batch_of(requests))
        return workload_model.answers_of(outputs, len(requests))

    def unbatch(self, output: list[dict]) -> list[dict]:
        """Hand out the answers."""
        return output


class Raw(V2Json):
    """A multipart upload, which is LitServe's form for files; the answer is bare bytes."""

    def decode_request(self, request: Request) -> dict[str, np.ndarray]:
        """Take the tensor's bytes from the form's file."""
        return workload_model.image_of(request["image"].file.read())

    def predict(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Answer one request."""
        return self._model.predict(inputs)["means"]

    def encode_response(self, output: np.ndarray) -> Response:
        """Return the output's bytes."""
        return Response(output.tobytes(), media_type="application/octet-stream")


if __name__ == "__main__":
    kind = Raw if workload_model.RAW else Batches if BATCHING else V2Json
    api = kind(
        max_batch_size=workload_model.MAX_BATCH,
        batch_timeout=0,
        api_path=workload_model.PATH,
    )
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=workload_model.PROCESSES)
    server.run(
        host="127.0.0.1",
        port=int(os.environ["BENCH_HTTP_PORT"]),
        log_level="warning",
        access_log=False,
        generate_client_file=False,
    )
