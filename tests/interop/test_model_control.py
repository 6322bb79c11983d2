"""Loading and unloading by request, through tritonclient, in explicit mode."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as over_grpc
import tritonclient.http as over_http
from tritonclient.utils import InferenceServerException

from tests.interop.live import Live, eventually
from tests.interop.models import save_version

pytestmark = pytest.mark.interop


@pytest.fixture(params=["http", "grpc"])
def client(request: pytest.FixtureRequest, explicit_server: Live) -> Iterator[Any]:
    if request.param == "http":
        with over_http.InferenceServerClient(explicit_server.address) as client:
            yield client
    else:
        with over_grpc.InferenceServerClient(explicit_server.grpc_address) as client:
            yield client


def max_batch_size(client: Any, name: str) -> int:
    config = client.get_model_config(name)
    return int(
        config["max_batch_size"] if isinstance(config, dict) else config.config.max_batch_size
    )


def states(client: Any, name: str) -> list[str | None]:
    """The states of a model's rows in the index; None: it was never loaded."""
    index = client.get_model_repository_index()
    if isinstance(index, list):
        return [row.get("state") for row in index if row["name"] == name]
    return [row.state or None for row in index.models if row.name == name]


def ask_zeros(explicit_server: Live, rows: int) -> Any:
    one = {"datatype": "INT32", "shape": [rows, 16], "data": [0] * (16 * rows)}
    return explicit_server.infer("simple", {"name": "INPUT0"} | one, {"name": "INPUT1"} | one)


def test_the_server_has_the_name_it_was_given(explicit_server: Live) -> None:
    assert explicit_server.ask("GET", "/v2").json()["name"] == "triton"


def test_load_unload_and_load_again(client: Any) -> None:
    assert not client.is_model_ready("identity_fp32")
    client.load_model("identity_fp32")
    assert client.is_model_ready("identity_fp32")
    assert states(client, "identity_fp32") == ["READY"]
    client.unload_model("identity_fp32")
    assert not client.is_model_ready("identity_fp32")
    assert states(client, "identity_fp32") == ["UNAVAILABLE"]
    client.unload_model("identity_fp32")
    with pytest.raises(InferenceServerException, match=r"nknown model|not at ready state"):
        client.get_model_metadata("identity_fp32")


def test_a_config_override_holds_until_the_next_load(client: Any, explicit_server: Live) -> None:
    assert max_batch_size(client, "simple") == 8
    client.load_model("simple", config=json.dumps({"max_batch_size": "16"}))
    assert max_batch_size(client, "simple") == 16
    client.load_model("simple")
    assert max_batch_size(client, "simple") == 8
    assert ask_zeros(explicit_server, 20).json()["outputs"][0]["shape"] == [20, 16]


@pytest.mark.parametrize("config", ["{", '{"max_batch_size": "many"}', '{"nonsense_field": 1}'])
def test_a_broken_override_changes_nothing(client: Any, explicit_server: Live, config: str) -> None:
    with pytest.raises(InferenceServerException):
        client.load_model("simple", config=config)
    assert ask_zeros(explicit_server, 1).status == 200
    assert max_batch_size(client, "simple") == 8


def test_a_wrong_name(client: Any) -> None:
    with pytest.raises(InferenceServerException, match="failed to load 'wrong_model_name'"):
        client.load_model("wrong_model_name")


def test_a_path_is_no_name(explicit_server: Live) -> None:
    reply = explicit_server.ask("POST", "/v2/repository/models/..%5Cx/load")
    assert (reply.status, "traversal" in reply.error) == (400, True)


def test_a_repository_cannot_be_named(explicit_server: Live) -> None:
    reply = explicit_server.ask("POST", "/v2/repository/other/models/simple/load")
    assert (reply.status, "repository_name" in reply.error) == (501, True)


def test_a_model_that_fails_to_load_says_why_and_leaves_what_served(
    client: Any, explicit_server: Live, repository: Path
) -> None:
    save_version(repository, "by_hand", 1)
    client.load_model("by_hand")
    bad = repository / "by_hand" / "2" / "model.py"
    bad.parent.mkdir()
    bad.write_text("raise RuntimeError('not today')\n")
    try:
        with pytest.raises(InferenceServerException, match=r"failed to load 'by_hand'.*not today"):
            client.load_model("by_hand")
        assert explicit_server.text_answer("by_hand", "a") == ["a-v1"]
        save_version(repository, "by_hand", 2)
        client.load_model("by_hand")
        assert explicit_server.text_answer("by_hand", "a") == ["a-v2"]
    finally:
        bad.unlink()
        bad.parent.rmdir()
        client.unload_model("by_hand")


def test_index_of_ready_models_only(explicit_server: Live) -> None:
    rows = explicit_server.ask("POST", "/v2/repository/index", {"ready": True}).json()
    assert {row["state"] for row in rows} == {"READY"}
    everything = explicit_server.ask("POST", "/v2/repository/index").json()
    assert "UNAVAILABLE" in [row["state"] for row in everything if row["name"] == "raiser"]
    wrong = explicit_server.ask("POST", "/v2/repository/index", {"ready": "yes"})
    assert (wrong.status, wrong.error) == (400, "Invalid value for 'ready': expected a boolean")


def test_unloading_waits_for_what_is_under_way(explicit_server: Live) -> None:
    explicit_server.ask("POST", "/v2/repository/models/slow/load")
    with over_http.InferenceServerClient(explicit_server.address, concurrency=2) as client:
        value = over_http.InferInput("seconds", [1], "FP64")
        value.set_data_from_numpy(np.array([0.5]))
        pending = client.async_infer("slow", [value])
        eventually(lambda: explicit_server.metric("penstock_instances_busy", model="slow"))
        assert explicit_server.ask("POST", "/v2/repository/models/slow/unload").status == 200
        assert pending.get_result().as_numpy("output").tolist() == [0.5]
    assert explicit_server.ask("GET", "/v2/models/slow/ready").status == 503
