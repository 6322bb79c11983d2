"""Routes in a real server: the same caller meets the same variant at both doors, and no change of
a route, and no version that comes or goes, fails a request.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from penstock.dialects.open_inference.proto import grpc_predict_v2_pb2 as pb
from penstock.dialects.open_inference.proto import grpc_predict_v2_pb2_grpc as pb_grpc
from tests.interop.live import Live, eventually, text_input
from tests.interop.models import save_version

QUICK = ("--set", "watch.settle_s=0.1", "--set", "watch.poll_interval_s=0.1")
USERS = [f"user-{number}" for number in range(40)]
LIMIT_S = 10


def route(weight: float, **fields: Any) -> dict[str, Any]:
    variants = [
        {"name": "stable", "version": 1, "weight": 100 - weight},
        {"name": "canary", "version": 2, "weight": weight},
    ]
    return {"variants": variants, "key": {"header": "x-user"}, "salt": "s", **fields}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Live]:
    """Two versions are stored, of which the policy wants the newest."""
    for version in (1, 2):
        save_version(tmp_path / "models", "m", version)
    with Live(["models"], *QUICK, folder=tmp_path) as live:
        yield live


def put(server: Live, body: dict[str, Any]) -> None:
    reply = server.ask("PUT", "/v2/routes/m", body)
    assert reply.status == 200, reply.error


def ready(server: Live) -> list[str]:
    versions: list[str] = server.ask("GET", "/v2/models/m").json()["versions"]
    return versions


def over_rest(server: Live, user: str, path: str = "") -> tuple[str, str]:
    """The version that answers, and the variant that the answer names."""
    body = {"inputs": [text_input("a")]}
    reply = server.ask("POST", f"/v2/models/m{path}/infer", body, x_user=user)
    assert reply.status == 200, reply.error
    answer = reply.json()
    assert answer["outputs"][0]["data"] == [f"a-v{answer['model_version']}"]
    return answer["model_version"], answer.get("parameters", {}).get("variant", "")


def over_grpc(stub: Any, user: str) -> tuple[str, str]:
    message = pb.ModelInferRequest(model_name="m")
    tensor = message.inputs.add(name="text", datatype="BYTES", shape=[1])
    tensor.contents.bytes_contents.append(b"a")
    answer = stub.ModelInfer(message, metadata=(("x-user", user),), timeout=LIMIT_S)
    return answer.model_version, answer.parameters["variant"].string_param


def test_the_same_caller_meets_the_same_variant_at_both_doors(server: Live) -> None:
    put(server, route(50, labels={"safe": 1}))
    eventually(lambda: ready(server) == ["1", "2"])
    rest = [over_rest(server, user) for user in USERS]
    assert set(rest) == {("1", "stable"), ("2", "canary")}
    with grpc.insecure_channel(server.grpc_address) as channel:
        stub = pb_grpc.GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
        assert [over_grpc(stub, user) for user in USERS] == rest
    assert {over_rest(server, user, "/versions/2") for user in USERS[:5]} == {("2", "")}
    assert {over_rest(server, user, "/versions/safe") for user in USERS[:5]} == {("1", "")}
    put(server, route(80))
    more = [over_rest(server, user) for user in USERS]
    assert all(now == was for was, now in zip(rest, more, strict=True) if was[0] == "2")
    seen = {
        (sample.name, sample.labels.get("variant")): sample.value
        for family in text_string_to_metric_families(server.ask("GET", "/metrics").body.decode())
        for sample in family.samples
        if sample.name.startswith("penstock_variant_")
    }
    asked = sum(seen["penstock_variant_requests_total", name] for name in ("stable", "canary"))
    assert asked == 3 * len(USERS)
    assert seen["penstock_variant_fallbacks_total", "canary"] == 0


def test_no_change_of_a_route_or_of_its_versions_fails_a_request(
    server: Live, tmp_path: Path
) -> None:
    done = threading.Event()

    def client(number: int) -> int:
        count = 0
        with server.rest() as rest:
            while not done.is_set():
                headers = {"x-user": f"{number}-{count}"}
                body = {"inputs": [text_input("a")]}
                reply = rest.ask("POST", "/v2/models/m/infer", body, headers)
                assert reply.status == 200, reply.error
                count += 1
        return count

    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(client, number) for number in range(4)]
        try:
            put(server, route(10))
            eventually(lambda: ready(server) == ["1", "2"])
            for weight in (50, 100, 20):
                put(server, route(weight))
            only_old = {"variants": [{"name": "stable", "version": 1, "weight": 100}]}
            put(server, only_old)
            eventually(lambda: over_rest(server, "any") == ("1", ""))
            save_version(tmp_path / "models", "m", 3)
            eventually(lambda: ready(server) == ["1", "3"])
            assert over_rest(server, "any") == ("1", "")
            shutil.rmtree(tmp_path / "models" / "m" / "3")
            eventually(lambda: "3" not in ready(server))
            assert server.ask("DELETE", "/v2/routes/m").status == 200
            eventually(lambda: ready(server) == ["2"])
        finally:
            done.set()
        assert all(one.result(LIMIT_S) > 0 for one in clients)
