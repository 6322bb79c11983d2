"""The deadline of a drain: everybody has an answer by then, and the process ends."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from penstock.dialects.open_inference.proto import grpc_predict_v2_pb2 as pb
from penstock.dialects.open_inference.proto import grpc_predict_v2_pb2_grpc as pb_grpc
from tests.interop.live import AT_ONCE, Live, eventually, seconds_input
from tests.interop.models import PYTHON_MODELS, save_python

pytestmark = pytest.mark.fault

DRAIN_S = 0.5
ARGUMENTS = (*AT_ONCE, "--set", f"drain_timeout_s={DRAIN_S}")
LONG_S = 30.0
SOON_S = 8.0
"""Longer than the drain on a busy machine, shorter than what hangs."""


def ask_grpc(server: Live) -> grpc.StatusCode:
    """What a request that takes long comes back with."""
    message = pb.ModelInferRequest(model_name="slow")
    tensor = message.inputs.add()
    tensor.name, tensor.datatype = "seconds", "FP64"
    tensor.shape.append(1)
    tensor.contents.fp64_contents.append(LONG_S)
    with grpc.insecure_channel(server.grpc_address) as channel:
        stub = pb_grpc.GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
        with pytest.raises(grpc.RpcError) as caught:
            stub.ModelInfer(message, timeout=LONG_S)
    code: grpc.StatusCode = caught.value.code()  # type: ignore[attr-defined]
    return code


@pytest.mark.parametrize("engine", ["nghttp2", "grpcio"])
def test_requests_under_way_at_the_deadline_are_answered(tmp_path: Path, engine: str) -> None:
    """The one that is computed, those that wait for it, by either door."""
    slow = save_python(tmp_path / "slow.py", PYTHON_MODELS["slow"])
    arguments = (*ARGUMENTS, "--set", f"grpc.engine={engine}")
    with Live([slow], *arguments, folder=tmp_path) as server, ThreadPoolExecutor(4) as pool:
        first = pool.submit(server.infer, "slow", seconds_input(LONG_S))
        eventually(lambda: server.metric("penstock_instances_busy", model="slow"))
        others = [pool.submit(server.infer, "slow", seconds_input(0)) for _ in range(2)]
        by_grpc = pool.submit(ask_grpc, server)
        eventually(lambda: server.metric("penstock_queue_requests", model="slow") == 3)
        started = time.monotonic()
        server.send_signal(signal.SIGTERM)
        replies = [future.result(SOON_S) for future in (first, *others)]
        assert [(reply.status, reply.error) for reply in replies] == [
            (503, "'slow' version 1 gave no answer: the server is shutting down")
        ] * 3
        assert by_grpc.result(SOON_S) is grpc.StatusCode.UNAVAILABLE
        assert time.monotonic() - started >= DRAIN_S
        assert server.wait(SOON_S) == 0
    assert "Traceback" not in server.log_text()


def test_a_load_that_hangs_does_not_keep_the_process(tmp_path: Path) -> None:
    load = f"    def load(self, context):\n        threading.Event().wait({LONG_S})\n\n"
    source = PYTHON_MODELS["slow"].replace("    def predict", f"{load}    def predict")
    server = Live([save_python(tmp_path / "stuck.py", source)], *ARGUMENTS, folder=tmp_path)
    try:
        server.wait_answers()
        server.send_signal(signal.SIGTERM)
        assert server.wait(SOON_S) == 0
    finally:
        server.stop()
    assert "cancelled at the end: ['load 'stuck' version 1']" in server.log_text().replace('"', "'")
