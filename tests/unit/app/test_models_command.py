"""``penstock models``: what is asked of the server, what is printed, exit status."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.unit.app.shell import Shell, StubServer

INDEX = [
    {"name": "a", "version": "1", "state": "READY"},
    {"name": "b", "version": "2", "state": "UNAVAILABLE", "reason": "two\nlines [red]"},
    {"name": "c"},
]
METADATA = {
    "name": "a",
    "versions": ["1", "3"],
    "platform": "onnxruntime_onnx",
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
    "outputs": [{"name": "y", "datatype": "INT64", "shape": [-1]}],
}
CONFIG = {
    "max_batch_size": 8,
    "input": [{"name": "x"}],
    "instance_group": [{"count": 2, "kind": "KIND_GPU", "gpus": [1]}],
    "dynamic_batching": {"max_queue_delay_microseconds": 500, "preferred_batch_size": [4]},
}
_NONE = {"count": 0, "ns": 0}
STATS = {
    "model_stats": [
        {
            "name": "a",
            "version": "3",
            "memory_usage": [{"type": "CPU", "id": 0, "byte_size": 3 * 2**20}],
            "inference_count": 7,
            "execution_count": 3,
            "inference_stats": {
                "success": {"count": 4, "ns": 8_000_000},
                "fail": _NONE,
                "queue": _NONE,
                "compute_infer": {"count": 4, "ns": 2_000_000},
            },
        }
    ]
}


@pytest.fixture(autouse=True)
def answers(stub: StubServer) -> None:
    stub.answers |= {
        "POST /v2/repository/index": (200, INDEX),
        "GET /v2/models/stats": (200, STATS),
        "POST /v2/repository/models/a/load": (200, b""),
        "POST /v2/repository/models/a/unload": (200, b""),
    }
    for path in ("/v2/models/a", "/v2/models/a/versions/old"):
        stub.answers |= {
            f"GET {path}": (200, METADATA),
            f"GET {path}/config": (200, CONFIG),
            f"GET {path}/stats": (200, STATS),
            f"GET {path}/ready": (200, {"ready": True}),
        }


def test_list(shell: Shell) -> None:
    ran = shell("models", "list")
    assert ran == (
        0,
        "name  version  state        memory  reason\n"
        "a     1        ready        -\n"
        "b     2        unavailable  -       two lines [red]\n"
        "c     -        not loaded   -\n",
        "",
    )


def test_list_of_nothing(shell: Shell, stub: StubServer) -> None:
    stub.answers["POST /v2/repository/index"] = (200, [])
    assert shell("models", "list") == (0, "", f"no models at {stub.url}\n")
    assert shell("models", "list", "--json").out == "[]\n"


def test_json_prints_nothing_else(shell: Shell) -> None:
    assert json.loads(shell("models", "list", "--json").out) == INDEX
    told = json.loads(shell("models", "show", "a", "--json").out)
    assert told == {
        "metadata": METADATA,
        "config": CONFIG,
        "statistics": STATS["model_stats"],
    }
    ran = shell("models", "load", "a", "--json")
    assert (json.loads(ran.out), ran.err) == ([INDEX[0]], "")


def test_show(shell: Shell, stub: StubServer) -> None:
    ran = shell("models", "show", "a")
    assert ran.code == 0
    for line in (
        "versions   1, 3",
        "instances  2 on gpu 1",
        "batches    up to 8 rows, preferably 4, waits 0.5 ms for more",
        "input   x     FP32      [-1, 2]",
    ):
        assert line in ran.out.splitlines()
    assert ran.out.splitlines()[-4].split() == ["3", "4", "0", "7", "3", "-", "0.500", "2.000"]
    assert f"curl -s {stub.url}/v2/models/a/infer -d '" in ran.out
    assert "/v2/models/a/versions/old/infer" in shell("models", "show", "a", "--version", "old").out


def test_load_sends_the_config(shell: Shell, stub: StubServer) -> None:
    for name, text in (("o.yaml", "max_batch_size: 4"), ("o.json", '{"max_batch_size": 4}')):
        Path(name).write_text(text)
        ran = shell("models", "load", "a", "--config", name)
        assert (ran.code, ran.err) == (0, "loading a\n")
        body = json.loads(stub.asked[-2][3])
        assert json.loads(body["parameters"]["config"]) == {"max_batch_size": 4}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a", "bad.yaml: expected a mapping"),
        ("a: [", "bad.yaml:2:1: not valid YAML"),
        ("a: 2020-01-01", "bad.yaml: Object of type date"),
        (None, "bad.yaml: cannot be read"),
    ],
)
def test_bad_config_is_wrong_usage(shell: Shell, text: str | None, said: str) -> None:
    if text is not None:
        Path("bad.yaml").write_text(text)
    ran = shell("models", "load", "a", "--config", "bad.yaml")
    assert ran.code == 2
    assert said in ran.err


def test_unload(shell: Shell, stub: StubServer) -> None:
    ran = shell("models", "unload", "a")
    assert (ran.code, stub.asked[0][1]) == (0, "/v2/repository/models/a/unload")


def test_mode_that_forbids_it_has_a_hint(shell: Shell, stub: StubServer) -> None:
    refusal = {"error": "explicit model load / unload is not allowed if polling is enabled"}
    stub.answers["POST /v2/repository/models/a/load"] = (503, refusal)
    ran = shell("models", "load", "a")
    assert ran.code == 1
    assert ran.err.endswith("is enabled: start it with --model-control explicit\n")


def test_ready(shell: Shell, stub: StubServer) -> None:
    assert shell("models", "ready", "a") == (0, "a is ready\n", "")
    assert shell("models", "ready", "a", "--version", "old").out == "a version old is ready\n"
    stub.answers["GET /v2/models/a/ready"] = (503, {"ready": False})
    assert shell("models", "ready", "a") == (1, "a is not ready\n", "")
    lost = "Request for unknown model: 'aa' is not found, did you mean 'a'?"
    stub.answers["GET /v2/models/aa/ready"] = (503, {"ready": False})
    stub.answers["GET /v2/models/aa"] = (404, {"error": lost})
    assert shell("models", "ready", "aa") == (1, "", f"penstock: {lost}\n")
    stub.answers["GET /v2/models/a"] = (503, {"error": "'a' is not at ready state"})
    assert shell("models", "ready", "a") == (1, "a is not ready\n", "")
    ran = shell("models", "ready", "a", "--json")
    assert (ran.code, json.loads(ran.out)) == (1, {"name": "a", "ready": False})


def test_name_is_percent_encoded(shell: Shell, stub: StubServer) -> None:
    shell("models", "ready", "a/b ü")
    assert stub.asked[0][1] == "/v2/models/a%2Fb%20%C3%BC/ready"


def test_server_says_no(shell: Shell, stub: StubServer) -> None:
    stub.answers["GET /v2/models/a"] = (404, {"error": "no\n such  model"})
    assert shell("models", "show", "a") == (1, "", "penstock: no such model\n")
    stub.answers["GET /v2/models/a"] = (502, b"<html>")
    ran = shell("models", "show", "a")
    assert ran.err == f"penstock: {stub.url} answered with HTTP status 502\n"
    stub.answers["GET /v2/models/a"] = (200, b"<html>")
    assert "is no JSON" in shell("models", "show", "a").err


def test_nobody_answers(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    ran = shell("models", "list", "--url", f"127.0.0.1:{port}")
    assert ran.code == 1
    assert ran.err == (
        f"penstock: no server answers at http://127.0.0.1:{port} (connection refused): start one "
        "with 'penstock serve PATH...', or say where it is with --url\n"
    )


def test_server_that_is_silent(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        ran = shell("models", "list", "--url", url, "--timeout-s", "0.05")
    assert ran.code == 1
    assert "sent no answer within 0.05 s: wait longer with --timeout-s" in ran.err


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://x:nan", "http://[::1"])
def test_bad_url_is_wrong_usage(shell: Shell, url: str) -> None:
    ran = shell("models", "list", "--url", url)
    assert (ran.code, ran.out) == (2, "")
    assert f"--url {url}" in ran.err


def test_wrong_usage(shell: Shell) -> None:
    assert shell("models", "show").code == 2
    assert shell("models", "lsit").code == 2
    assert shell("models", "list", "--timeout-s", "0").code == 2
