"""How often a large tensor is copied between the socket and the model, counted.

A copy needs a place: what the server's process has allocated at most since the last request,
divided by the tensor's size, is how many there were at a time. The model itself counts it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import pytest

from penstock.dialects.open_inference.proto import grpc_predict_v2_pb2 as pb
from penstock.dialects.open_inference.proto import grpc_predict_v2_pb2_grpc as pb_grpc
from tests.interop.live import AT_ONCE, HOST, Live, Rest
from tests.interop.models import save_python

SIZE = 2 * 1024 * 1024
MODEL = f"""
import tracemalloc
import numpy as np
import penstock

Data = np.ndarray[tuple[None, {SIZE}], np.dtype[np.float32]]
Copies = np.ndarray[tuple[None, 1], np.dtype[np.float32]]

class Counts(penstock.Model):
    inline_safe = True

    def load(self, context):
        tracemalloc.start()

    def predict(self, data: Data) -> Copies:
        now, peak = tracemalloc.get_traced_memory()
        mine = data.nbytes
        tracemalloc.reset_peak()
        assert now >= mine, "the tensor itself is not counted"
        return np.array([[(peak - now + mine) / mine]], np.float32)
"""
TENSOR = np.arange(SIZE, dtype=np.float32).reshape(1, SIZE)


def _over_rest(server: Live) -> float:
    fields = {"name": "data", "datatype": "FP32", "shape": [1, SIZE]}
    head = {"inputs": [{**fields, "parameters": {"binary_data_size": TENSOR.nbytes}}]}
    prefix = json.dumps(head).encode()
    length = {"Inference-Header-Content-Length": str(len(prefix))}
    with Rest(server.http_port) as client:
        body = prefix + TENSOR.tobytes()
        reply = client.ask("POST", "/v2/models/counts/infer", body, length)
    return float(reply.json()["outputs"][0]["data"][0])


def _over_grpc(server: Live) -> float:
    fields = pb.ModelInferRequest.InferInputTensor(name="data", datatype="FP32", shape=[1, SIZE])
    request = pb.ModelInferRequest(model_name="counts", inputs=[fields])
    request.raw_input_contents.append(TENSOR.tobytes())
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"{HOST}:{server.grpc_port}", options=options) as channel:
        answer = pb_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=60)
    return float(np.frombuffer(answer.raw_output_contents[0], np.float32)[0])


@pytest.mark.parametrize("ask", [_over_rest, _over_grpc])
def test_a_large_tensor_has_one_place_in_the_server(
    tmp_path: Path, ask: Callable[[Live], float]
) -> None:
    """The target is two copies at most; with one place there cannot be two."""
    save_python(tmp_path / "app.py", MODEL)
    with Live(["app.py:Counts"], *AT_ONCE, folder=tmp_path) as server:
        ask(server)  # the warm-up's arrays are gone
        assert [ask(server) for _ in range(3)] == pytest.approx([1.0] * 3, abs=0.2)
