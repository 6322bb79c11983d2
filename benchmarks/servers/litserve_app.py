"""Peer: LitServe, one worker process, one API server, batching with max batch 32."""

import os

import litserve
import numpy as np
from onnx_session import DigitsSession, v2_answer


class Digits(litserve.LitAPI):
    """The digits classifier behind LitServe's hooks."""

    def setup(self, device: str) -> None:
        """Open the session in the worker process."""
        self._session = DigitsSession()

    def decode_request(self, request: dict) -> np.ndarray:
        """Return the pixels of one V2 request of one row, FP32 [64]."""
        return np.asarray(request["inputs"][0]["data"], np.float32)

    def predict(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Classify a stacked batch, FP32 [n, 64]."""
        return self._session.predict(pixels)

    def unbatch(self, output: tuple[np.ndarray, np.ndarray]) -> list[tuple]:
        """Return each row's label and probabilities."""
        label, probabilities = output
        return [(label[i : i + 1], probabilities[i : i + 1]) for i in range(len(label))]

    def encode_response(self, output: tuple[np.ndarray, np.ndarray]) -> dict:
        """Return the V2 answer of one request."""
        return v2_answer(*output)


if __name__ == "__main__":
    api = Digits(
        max_batch_size=32,
        batch_timeout=float(os.environ.get("BENCH_BATCH_TIMEOUT_S", "0")),
        api_path="/v2/models/digits/infer",
    )
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1",
        port=int(os.environ["BENCH_HTTP_PORT"]),
        num_api_servers=1,
        log_level="warning",
        access_log=False,
        generate_client_file=False,
    )
