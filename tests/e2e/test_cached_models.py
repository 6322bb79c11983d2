"""A model with a response cache, asked through both doors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton

from tests.interop.live import Live, tensor
from tests.interop.models import save_scale

pytestmark = pytest.mark.timeout(60)


def test_equal_requests_are_answered_from_the_store(tmp_path: Path) -> None:
    save_scale(tmp_path / "models" / "scale" / "1" / "model.onnx", 3.0)
    manifest = tmp_path / "models" / "scale" / "model.yaml"
    manifest.write_text("response_cache: {ttl_s: 60}\n")
    with Live([tmp_path / "models"], folder=tmp_path) as server:
        server.wait_ready()
        for _ in range(2):
            reply = server.infer("scale", tensor("x", "FP32", [1, 4], [1, 2, 3, 4]))
            assert reply.status == 200, reply.error
            assert reply.json()["outputs"][0]["data"] == [3, 6, 9, 12]
        with triton.InferenceServerClient(server.grpc_address) as client:
            x = triton.InferInput("x", [1, 4], "FP32")
            x.set_data_from_numpy(np.float32([[1, 2, 3, 4]]))
            answer = client.infer("scale", [x]).as_numpy("y")
        assert answer.tolist() == [[3, 6, 9, 12]]
        (statistics,) = server.ask("GET", "/v2/models/scale/stats").json()["model_stats"]
        assert statistics["inference_stats"]["cache_hit"]["count"] == 2
        assert statistics["execution_count"] == 1
