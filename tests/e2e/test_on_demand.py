"""More models than memory: 200 in one program, and a server whose models come when asked for."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

import penstock
from penstock.core.status import VersionState
from penstock.dialects.open_inference.proto import grpc_predict_v2_pb2 as pb
from penstock.dialects.open_inference.proto import grpc_predict_v2_pb2_grpc as pb_grpc
from tests.interop.live import AT_ONCE, Live, eventually, tensor
from tests.interop.models import save_python, save_scale

NUM_MODELS = 200
BUDGET = 2 * 2**20
SETTINGS = {
    "memory.on_demand": True,
    "memory.budget_bytes": BUDGET,
    "memory.min_loaded_s": 0,
    "memory.room_wait_s": 30,
    "watch.settle_s": 0,
}
X = tensor("x", "FP32", [1, 4], [1, 2, 3, 4])
NOT_YET = "not loaded yet; loads on demand"
GONE = "unloaded to make room; loads on demand"

WEIGHTY = """
import numpy as np
import penstock
from penstock import Rows

class Weighty(penstock.Model):
    memory_bytes = 30 * 2**20

    def predict(self, x: Rows["FP32", 4]) -> Rows["FP32", 4]:
        return x + 1
"""
BROKEN = """
import penstock

class Broken(penstock.Model):
    def load(self, context):
        raise ValueError
"""


def save_models(folder: Path) -> Path:
    for number in range(NUM_MODELS):
        save_scale(folder / f"m{number}" / "1" / "model.onnx", float(number + 1))
    return folder


async def ask(models: penstock.Models, number: int) -> None:
    x = np.float32([[1, 2, 3, 4]])
    outputs = await models.infer(f"m{number}", x=x)
    assert outputs["y"].tolist() == (x * (number + 1)).tolist()


async def test_two_hundred_models_in_the_memory_of_a_few(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """All are answered right while far fewer fit; the process does not grow with the traffic."""
    process, dice = psutil.Process(), random.Random(7)
    repository, started = save_models(tmp_path), time.perf_counter()
    async with penstock.serving(repository, settings=SETTINGS) as models:
        record_property("start_s", time.perf_counter() - started)
        manager = models._service.manager
        assert models._service.is_ready()
        assert {row.reason for row in manager.statuses()} == {NOT_YET}

        async def client(numbers: list[int]) -> None:
            for number in numbers:
                await ask(models, number)
                loaded = sum(row.state is VersionState.READY for row in manager.statuses())
                assert loaded < NUM_MODELS * 3 / 4

        everyone = dice.sample(range(NUM_MODELS), NUM_MODELS)
        await asyncio.gather(*(client(everyone[start::4]) for start in range(4)))
        after_one_round = process.memory_info().rss
        for _ in range(2):
            numbers = [dice.randrange(NUM_MODELS) for _ in range(200)]
            await asyncio.gather(*(client(numbers[start::4]) for start in range(4)))
        await manager.wait_settled()
        assert manager.held_bytes <= BUDGET
        assert manager.num_evictions > NUM_MODELS / 2
        assert {row.reason for row in manager.statuses()} == {"", GONE}
        assert process.memory_info().rss - after_one_round < 16 * 2**20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Room for one of ``a`` and ``b``, which say that they are large; ``kept`` is always there."""
    folder = tmp_path_factory.mktemp("on-demand")
    for name, text in (("a", WEIGHTY), ("b", WEIGHTY), ("broken", BROKEN)):
        save_python(folder / "models" / name / "1" / "model.py", text)
    save_scale(folder / "models" / "kept" / "1" / "model.onnx", 2.0)
    (folder / "models" / "kept" / "model.yaml").write_text("keep_loaded: true\n")
    arguments = [*AT_ONCE, "--set", "memory.on_demand=true", "--set", "memory.budget_bytes=40MiB"]
    arguments += ["--set", "memory.min_loaded_s=0"]
    with Live(["models"], *arguments, folder=folder) as live:
        yield live


def state_of(server: Live, name: str) -> tuple[str, str]:
    index = server.ask("POST", "/v2/repository/index").json()
    (row,) = [row for row in index if row["name"] == name]
    return row["state"], row.get("reason", "")


def test_what_the_server_says_of_cold_models_is_true(server: Live) -> None:
    assert server.ask("GET", "/readyz").status == 200
    assert state_of(server, "a") == ("UNAVAILABLE", NOT_YET)
    assert server.ask("GET", "/v2/models/a/ready").status == 503
    assert state_of(server, "kept") == ("READY", "")
    assert server.infer("a", X).json()["outputs"][0]["data"] == [2, 3, 4, 5]
    assert server.ask("GET", "/v2/models/a/ready").status == 200
    usage = server.ask("GET", "/v2/models/a/stats").json()["model_stats"][0]["memory_usage"]
    assert usage == [{"type": "CPU", "id": 0, "byte_size": 30 * 2**20}]
    server.infer("b", X)
    server.infer("b", X)
    eventually(lambda: state_of(server, "a") == ("UNAVAILABLE", GONE))
    assert state_of(server, "b") == ("READY", "")
    assert server.ask("GET", "/readyz").status == 200
    with grpc.insecure_channel(server.grpc_address) as channel:
        stub = pb_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ServerReady(pb.ServerReadyRequest()).ready
        assert not stub.ModelReady(pb.ModelReadyRequest(name="a")).ready
        rows = stub.RepositoryIndex(pb.RepositoryIndexRequest()).models
        assert {(row.state, row.reason) for row in rows if row.name == "a"} == {
            ("UNAVAILABLE", GONE)
        }
        assert stub.ModelMetadata(pb.ModelMetadataRequest(name="a")).inputs[0].datatype == "FP32"
        assert stub.ModelReady(pb.ModelReadyRequest(name="a")).ready


def test_metadata_and_raw_bodies_bring_a_cold_model(server: Live) -> None:
    for cold, warm in (("a", "b"), ("b", "a")):
        server.infer(warm, X)
        assert server.ask("GET", f"/v2/models/{cold}").json()["inputs"][0]["datatype"] == "FP32"
        server.infer(warm, X)
        raw = np.float32([1, 2, 3, 4]).tobytes()
        header = {"inference_header_content_length": "0"}
        reply = server.ask("POST", f"/v2/models/{cold}/infer", raw, **header)
        assert (reply.status, reply.body[-16:]) == (200, np.float32([2, 3, 4, 5]).tobytes())


def test_models_that_drive_each_other_out_lose_no_request(server: Live) -> None:
    def client(name: str) -> set[int]:
        with server.rest() as rest:
            return {rest.infer(name, X).status for _ in range(20)}

    with ThreadPoolExecutor(4) as pool:
        assert set().union(*pool.map(client, ["a", "b", "a", "b"])) == {200}


def test_a_broken_model_costs_its_own_requests_only(server: Live) -> None:
    first, second = server.infer("broken", X), server.infer("broken", X)
    assert (first.status, second.status) == (500, 500)
    assert "it is tried again in" in second.error
    assert server.ask("GET", "/readyz").status == 200
    assert server.infer("a", X).status == 200


def test_metrics_tell_of_the_memory(server: Live) -> None:
    server.infer("a", X)
    page = server.ask("GET", "/metrics").body.decode()
    samples = {
        (sample.name, sample.labels.get("model"), sample.labels.get("source")): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    assert samples["penstock_model_memory_bytes", "a", "declared"] == 30 * 2**20
    assert samples["penstock_memory_budget_bytes", None, None] == 40 * 2**20
    assert samples["penstock_memory_held_bytes", None, None] >= 30 * 2**20
    assert samples["penstock_model_evictions_total", None, None] >= 1
    assert samples["penstock_on_demand_waiting_requests", None, None] == 0
