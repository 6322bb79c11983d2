"""curl and bare sockets against a live server: what clients do at the level of HTTP."""

from __future__ import annotations

import gzip
import json
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.live import AT_ONCE, HOST, Live, tensor, text_input

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here"),
]

LIMIT = 4 * 2**20


@pytest.fixture(scope="module")
def small_server(repository: Path) -> Iterator[Live]:
    """Takes bodies of up to 4 MiB."""
    limit = ("--set", f"http.limits.max_body_bytes={LIMIT}")
    with Live([repository], *AT_ONCE, *limit, folder=repository.parent) as live:
        yield live


def curl(*args: str, data: bytes | None = None) -> str:
    """What curl prints; the body goes to its standard input."""
    command = ["curl", "-sS", "--max-time", "30", *args]
    if data is not None:
        command += ["--data-binary", "@-"]
    done = subprocess.run(command, input=data, capture_output=True, timeout=40, check=True)
    return done.stdout.decode("utf-8", "replace") + done.stderr.decode("utf-8", "replace")


def floats(count: int) -> bytes:
    inputs = [tensor("INPUT0", "FP32", [1, count], [0.5] * count)]
    return json.dumps({"inputs": inputs}).encode()


def raw_talk(server: Live, *requests: bytes) -> bytes:
    """Send requests on one connection and read until it ends."""
    with socket.create_connection((HOST, server.http_port), timeout=20) as connection:
        for request in requests:
            connection.sendall(request)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def request_bytes(path: str, body: bytes, *headers: str, close: bool = False) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    lines += ["Connection: close"] if close else []
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def test_expect_100_continue(server: Live) -> None:
    url = f"{server.url}/v2/models/identity_fp32/infer"
    body = floats(400_000)
    assert len(body) > 2**20
    out = curl("-v", "-H", "Expect: 100-continue", "-o", "/dev/null", url, data=body)
    assert "100 Continue" in out
    assert "HTTP/1.1 200" in out


def test_chunked_transfer(server: Live) -> None:
    url = f"{server.url}/v2/models/echo_any/infer"
    body = json.dumps({"inputs": [text_input("a", "b")]}).encode()
    out = curl("-H", "Transfer-Encoding: chunked", url, data=body)
    assert json.loads(out)["outputs"][0]["data"] == ["a", "b"]


def test_a_body_in_many_small_chunks(server: Live) -> None:
    body = json.dumps({"inputs": [text_input("a" * 500)]}).encode()
    chunks = b"".join(b"1\r\n" + body[i : i + 1] + b"\r\n" for i in range(len(body)))
    head = (
        b"POST /v2/models/echo_any/infer HTTP/1.1\r\nHost: x\r\n"
        b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    answer = raw_talk(server, head, chunks + b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"a" * 500 in answer


@pytest.mark.parametrize("close", [True, False])
def test_a_connection_lives_on_after_an_error(server: Live, close: bool) -> None:
    bad = request_bytes("/v2/models/nobody/infer", b"x" * 300_000)
    good = request_bytes(
        "/v2/models/echo_any/infer", json.dumps({"inputs": [text_input("a")]}).encode(), close=True
    )
    parts = [bad + good] if close else [bad, good]
    answer = raw_talk(server, *parts)
    assert answer.count(b"HTTP/1.1 ") == 2
    assert answer.startswith(b"HTTP/1.1 4")
    assert b'"data":["a"]' in answer


def test_curl_keeps_its_connection_after_a_404(server: Live) -> None:
    out = curl("-v", f"{server.url}/v2/models/nobody", f"{server.url}/v2/models/simple")
    assert "HTTP/1.1 404" in out
    assert "HTTP/1.1 200" in out
    assert "Re-using existing" in out


def test_a_bomb_is_refused_before_it_bursts(small_server: Live) -> None:
    bomb = gzip.compress(b"\x00" * (200 * 2**20), 9)
    assert len(bomb) < 2**20
    reply = small_server.ask(
        "POST", "/v2/models/identity_fp32/infer", bomb, Content_Encoding="gzip"
    )
    assert reply.status == 413
    assert str(LIMIT) in reply.error
    assert small_server.text_answer("echo_any", "a") == ["a"]


def test_an_announced_body_beyond_the_limit_is_refused_at_once(small_server: Live) -> None:
    head = request_bytes("/v2/models/simple/infer", b"").replace(
        b"Content-Length: 0", b"Content-Length: %d" % (LIMIT + 1)
    )
    with socket.create_connection((HOST, small_server.http_port), timeout=20) as connection:
        connection.sendall(head)
        assert connection.recv(65536).startswith(b"HTTP/1.1 413")


def test_a_chunked_body_beyond_the_limit(small_server: Live) -> None:
    url = f"{small_server.url}/v2/models/identity_fp32/infer"
    out = curl(
        "-H", "Transfer-Encoding: chunked", "-w", "%{http_code}", url, data=b"[" * (LIMIT + 10)
    )
    assert out.endswith("413")
    assert "exceeds the maximum allowed input size" in out


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "PATCH", "GET"])
def test_wrong_methods(server: Live, method: str) -> None:
    reply = server.ask(method, "/v2/models/simple/infer")
    assert (reply.status, reply.headers["allow"]) == (405, "POST")
    if method != "HEAD":
        assert reply.error == "Method Not Allowed"


@pytest.mark.parametrize("path", ["/", "/nothing", "/v2/nothing", "/v2/models/simple/nothing"])
def test_unknown_paths(server: Live, path: str) -> None:
    reply = server.ask("GET", path)
    if path == "/":
        assert (reply.status, reply.headers["location"]) == (307, "/docs")
    else:
        assert (reply.status, reply.error) == (404, "Not Found")


def test_names_are_percent_decoded(server: Live) -> None:
    assert server.ask("GET", "/v2/models/%73imple").json()["name"] == "simple"
    reply = server.ask("GET", "/v2/models/mod%C3%A8l%20x")
    assert reply.error == "Request for unknown model: 'modèl x' is not found"
    assert server.ask("GET", "/v2/models/%FF").status == 404


def test_unknown_query_parameters_are_nobodys_business(server: Live) -> None:
    reply = server.ask("POST", "/v2/models/echo_any/infer?a=1&b", {"inputs": [text_input("x")]})
    assert reply.status == 200
    assert server.ask("GET", "/v2/health/ready?x=%00").status == 200


@pytest.mark.parametrize(
    ("model", "body", "status"),
    [
        ("identity_fp32", struct.pack("<3f", 1, 2, 3), 200),
        ("echo_bytes", b"any \x00 bytes", 200),
        ("nobatch", struct.pack("<4f", 1, 2, 3, 4), 200),
        ("nobatch", struct.pack("<3f", 1, 2, 3), 400),
        ("simple", b"\x00" * 64, 400),
        ("nobody", b"", 404),
    ],
)
def test_a_body_that_is_one_raw_tensor(server: Live, model: str, body: bytes, status: int) -> None:
    with server.rest() as rest:
        headers = {"Inference-Header-Content-Length": "0"}
        reply = rest.ask("POST", f"/v2/models/{model}/infer", body, headers)
        assert reply.status == status
        if status == 200:
            length = int(reply.headers["inference-header-content-length"])
            assert reply.body[length:].endswith(body)
            assert json.loads(reply.body[:length])["outputs"][0]["shape"][0] in (1, 4)


def test_request_ids_come_back(server: Live) -> None:
    assert server.ask("GET", "/v2", X_Request_ID="mine").headers["x-request-id"] == "mine"
    assert len(server.ask("GET", "/v2").headers["x-request-id"]) == 32


@pytest.mark.parametrize("start", ["GET /v2", "POST /v2/models/echo_any/infer"])
@pytest.mark.parametrize(
    ("version", "hosts", "status"),
    [
        ("1.1", "", 400),
        ("1.1", "Host: a\r\nHost: a\r\n", 400),
        ("1.1", "Host: a b\r\n", 400),
        ("1.0", "", 200),
        ("1.1", "Host: a\r\nConnection: close\r\n", 200),
    ],
)
def test_the_host_is_named_once(
    server: Live, start: str, version: str, hosts: str, status: int
) -> None:
    body = json.dumps({"inputs": [text_input("a")]}) if start.startswith("POST") else ""
    head = f"{start} HTTP/{version}\r\n{hosts}Content-Length: {len(body)}\r\n\r\n"
    answer = raw_talk(server, (head + body).encode())
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer[:500]
    assert (b"'Host'" in answer) == (status == 400)


def test_a_request_without_a_host_is_refused_in_its_turn(server: Live) -> None:
    answer = raw_talk(server, b"GET /v2 HTTP/1.1\r\nHost: a\r\n\r\nGET /v2 HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1 400 ") == 1


@pytest.mark.parametrize("number", ["9" * 5000, "-1", "x", "1.5", "", "²"])
def test_a_senseless_header_length(server: Live, number: str) -> None:
    body = json.dumps({"inputs": [text_input("a")]}).encode()
    header = f"Inference-Header-Content-Length: {number}"
    answer = raw_talk(server, request_bytes("/v2/models/echo_any/infer", body, header, close=True))
    assert answer.startswith(b"HTTP/1.1 400"), answer[:500]


def test_a_label_stands_where_a_version_stands(server: Live) -> None:
    def ask(version: str) -> Any:
        path = f"/v2/models/versions/versions/{version}/infer"
        return server.ask("POST", path, {"inputs": [text_input("a")]})

    assert ask("stable").json()["outputs"][0]["data"] == ["a-v1"]
    assert ask("canary").json()["outputs"][0]["data"] == ["a-v2"]
    assert ask("1").json()["model_version"] == "1"
    unknown = ask("nightly")
    assert unknown.status == 404
    assert unknown.error.startswith("Request for unknown model: 'versions' label 'nightly' is not")


def test_the_bare_json_of_the_specification(server: Live) -> None:
    one = {"datatype": "INT32", "shape": [1, 16]}
    inputs = [
        one | {"name": "INPUT0", "data": [list(range(16))]},
        one | {"name": "INPUT1", "data": [1] * 16},
    ]
    reply = server.infer("simple", *inputs, id="42", outputs=[{"name": "OUTPUT1"}])
    assert reply.headers["content-type"] == "application/json"
    assert reply.json() == {
        "model_name": "simple",
        "model_version": "1",
        "id": "42",
        "outputs": [
            {
                "name": "OUTPUT1",
                "datatype": "INT32",
                "shape": [1, 16],
                "data": list(range(-1, 15)),
            }
        ],
    }
