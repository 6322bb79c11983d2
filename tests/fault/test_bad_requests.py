"""Every way a request can be wrong: the right status, a text that names the field, and life."""

from __future__ import annotations

import gzip
import json
import socket
import time
import zlib
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests.interop.live import HOST, Live, Rest, eventually, tensor, text_input

pytestmark = pytest.mark.fault

ONES = [1] * 16
INPUT0 = tensor("INPUT0", "INT32", [1, 16], ONES)
INPUT1 = tensor("INPUT1", "INT32", [1, 16], ONES)
GOOD = {"inputs": [INPUT0, INPUT1]}


def floats(shape: list[Any], data: Any = None, **more: Any) -> dict[str, Any]:
    return {"inputs": [tensor("INPUT0", "FP32", shape, data) | more]}


@pytest.fixture
def rest(server: Live) -> Iterator[Rest]:
    with server.rest() as rest:
        yield rest


def check_alive(rest: Rest) -> None:
    """The same connection, or a new one where that was closed, gets an exact answer."""
    reply = rest.ask("POST", "/v2/models/simple/infer", GOOD)
    assert reply.status == 200
    outputs = {o["name"]: o["data"] for o in reply.json()["outputs"]}
    assert outputs == {"OUTPUT0": [2] * 16, "OUTPUT1": [0] * 16}


SIMPLE = [
    ({}, "inputs"),
    ({"inputs": []}, "INPUT0"),
    ({"inputs": {}}, "inputs"),
    ({"inputs": [INPUT0]}, "missing required input(s) ['INPUT1']"),
    ({"inputs": [INPUT0, INPUT0]}, "input 'INPUT0' already exists in request"),
    (
        {"inputs": [INPUT0, INPUT1, tensor("X", "INT32", [1], [1])]},
        "unexpected inference input 'X'",
    ),
    ({"inputs": [INPUT0, INPUT1 | {"name": 3}]}, "name"),
    ({"inputs": [INPUT0, {"name": "INPUT1", "datatype": "INT32", "data": ONES}]}, "shape"),
    ({"inputs": [INPUT0, {"name": "INPUT1", "shape": [1, 16], "data": ONES}]}, "datatype"),
    (
        {"inputs": [INPUT0, INPUT1 | {"datatype": "INT33"}]},
        "input 'INPUT1' has the invalid data-type \"INT33\"",
    ),
    (
        {"inputs": [INPUT0, INPUT1 | {"datatype": "FP32"}]},
        "inference input 'INPUT1' data-type is 'FP32', but model 'simple' expects 'INT32'",
    ),
    (
        {"inputs": [INPUT0, tensor("INPUT1", "INT32", [1, 15], ONES[:15])]},
        "unexpected shape for input 'INPUT1' for model 'simple'. Expected [-1,16], got [1,15]",
    ),
    ({"inputs": [INPUT0, INPUT1 | {"shape": [16]}]}, "Expected [-1,16], got [16]"),
    ({"inputs": [INPUT0, INPUT1 | {"shape": [-1, 16]}]}, "INPUT1"),
    ({"inputs": [INPUT0, INPUT1 | {"shape": [1.5, 16]}]}, "shape"),
    ({"inputs": [INPUT0, INPUT1 | {"shape": "16"}]}, "shape"),
    ({"inputs": [INPUT0, INPUT1 | {"shape": [2**62, 16]}]}, "INPUT1"),
    ({"inputs": [INPUT0, INPUT1 | {"shape": [2**70, 16]}]}, "shape"),
    ({"inputs": [INPUT0, INPUT1 | {"shape": [1] * 99}]}, "INPUT1"),
    (
        {"inputs": [INPUT0, tensor("INPUT1", "INT32", [2, 16], ONES * 2)]},
        "batch size does not match other inputs for 'simple'",
    ),
    ({"inputs": [INPUT0, INPUT1 | {"data": [*ONES, 1]}]}, "INPUT1"),
    ({"inputs": [INPUT0, INPUT1 | {"data": ONES[:15]}]}, "INPUT1"),
    ({"inputs": [INPUT0, INPUT1 | {"data": []}]}, "INPUT1"),
    ({"inputs": [INPUT0, INPUT1 | {"data": None}]}, "INPUT1"),
    ({"inputs": [INPUT0, INPUT1 | {"data": "AAAA"}]}, "INPUT1"),
    ({"inputs": [INPUT0, INPUT1 | {"data": {"a": 1}}]}, "INPUT1"),
    ({"inputs": [INPUT0, INPUT1 | {"data": [*ONES[:15], 0.5]}]}, "INPUT1"),
    ({"inputs": [INPUT0, INPUT1 | {"data": [*ONES[:15], "1"]}]}, "INPUT1"),
    ({"inputs": [INPUT0, INPUT1 | {"data": [*ONES[:15], None]}]}, "INPUT1"),
    ({"inputs": [INPUT0, INPUT1 | {"data": [*ONES[:15], True]}]}, "INPUT1"),
    ({"inputs": [INPUT0, INPUT1 | {"data": [*ONES[:15], 2**31]}]}, "INPUT1"),
    ({"inputs": [INPUT0, INPUT1 | {"data": [*ONES[:15], 10**400]}]}, "INPUT1"),
    ({"inputs": [INPUT0, INPUT1 | {"data": [*ONES[:15], float("nan")]}]}, "INPUT1"),
    ({"inputs": [INPUT0, {k: v for k, v in INPUT1.items() if k != "data"}]}, "no field is set"),
    ({"inputs": [INPUT0, INPUT1 | {"parameters": {"binary_data_size": 64}}]}, "more than one"),
    (GOOD | {"outputs": [{"name": "X"}]}, "unexpected inference output 'X' for model 'simple'"),
    (
        GOOD | {"outputs": [{"name": "OUTPUT0"}, {"name": "OUTPUT0"}]},
        "output 'OUTPUT0' already exists in request",
    ),
    (GOOD | {"outputs": [{}]}, "name"),
    (GOOD | {"outputs": "OUTPUT0"}, "outputs"),
    (
        GOOD | {"outputs": [{"name": "OUTPUT0", "parameters": {"classification": 0}}]},
        "classification",
    ),
    (GOOD | {"outputs": [{"name": "OUTPUT0", "parameters": {"binary_data": 1}}]}, "binary_data"),
    (GOOD | {"id": 7}, "id"),
    (GOOD | {"parameters": []}, "parameters"),
    (GOOD | {"parameters": {"timeout": -1}}, "timeout"),
    (GOOD | {"parameters": {"timeout": "soon"}}, "timeout"),
    (GOOD | {"parameters": {"priority": 0.5}}, "priority"),
    (GOOD | {"parameters": {"triton_x": 1}}, "reserved"),
    (GOOD | {"parameters": {"headers": "x"}}, "headers"),
    (GOOD | {"parameters": {"binary_data_output": "yes"}}, "binary_data_output"),
]


@pytest.mark.parametrize(("request_", "text"), SIMPLE, ids=range(len(SIMPLE)))
def test_a_request_that_does_not_fit(rest: Rest, request_: Any, text: str) -> None:
    reply = rest.ask("POST", "/v2/models/simple/infer", request_)
    assert reply.status == 400, reply.body
    assert text in reply.error
    assert "Traceback" not in reply.error
    check_alive(rest)


def test_shared_memory_and_sequences_are_not_offered(rest: Rest) -> None:
    wanted = INPUT1 | {"parameters": {"shared_memory_region": "r"}}
    reply = rest.ask("POST", "/v2/models/simple/infer", {"inputs": [INPUT0, wanted]})
    assert (reply.status, "INPUT1" in reply.error) == (501, True)
    reply = rest.ask("POST", "/v2/models/simple/infer", GOOD | {"parameters": {"sequence_id": 1}})
    assert (reply.status, "sequence_id" in reply.error) == (501, True)
    check_alive(rest)


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("nobody/infer", 404, "Request for unknown model: 'nobody' is not found"),
        ("simple/versions/99/infer", 404, "unknown model: 'simple' version 99 is not found"),
        ("simple/versions/one/infer", 404, "Request for unknown model: 'simple'"),
        ("simple/versions/-1/infer", 404, "Request for unknown model: 'simple'"),
        ("simple/versions/99999999999999999999/infer", 404, "unknown model: 'simple'"),
        ("simple/versions//infer", 404, ""),
        ("..%2F..%2Fetc/infer", 404, ""),
        ("%00/infer", 404, ""),
        ("a" * 5000 + "/infer", 404, ""),
    ],
)
def test_wrong_names(rest: Rest, path: str, status: int, text: str) -> None:
    reply = rest.ask("POST", f"/v2/models/{path}", GOOD)
    if path == "simple/versions//infer":
        assert reply.status in (200, 404)  # no version at all is the newest
    else:
        assert (reply.status, text in reply.error) == (status, True)
    check_alive(rest)


BODIES = {
    "nothing": b"",
    "blank": b"   ",
    "no json": b"hello",
    "cut short": b'{"inputs": [{"name": "INPUT0"',
    "an array": b"[]",
    "null": b"null",
    "a number": b"1",
    "zero bytes": b"\x00" * 1000,
    "no utf-8": b'{"inputs": "\xff\xfe"}',
    "a lone surrogate": b'{"inputs": [{"name": "\\ud800"}]}',
    "deep": b"[" * 500_000,
    "deep and closed": b"[" * 200_000 + b"]" * 200_000,
    "deep objects": b'{"inputs":' * 100_000,
    "two values": b'{"inputs": []} {}',
    "a huge number": b'{"inputs": ' + b"9" * 100_000 + b"}",
    "a huge exponent": b'{"inputs": 1e999999}',
    "utf-16": '{"inputs": []}'.encode("utf-16"),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_bodies_that_are_no_request(rest: Rest, body: bytes) -> None:
    reply = rest.ask("POST", "/v2/models/simple/infer", body)
    assert reply.status == 400, reply.body
    assert len(reply.error) < 2000
    check_alive(rest)


def test_data_nested_too_deep(rest: Rest) -> None:
    data = b"[" * 5000 + b"1" + b"]" * 5000
    body = b'{"inputs":[{"name":"INPUT0","datatype":"FP32","shape":[1,1],"data":%b}]}' % data
    reply = rest.ask("POST", "/v2/models/identity_fp32/infer", body)
    assert (reply.status, "nest" in reply.error) == (400, True)
    check_alive(rest)


@pytest.mark.parametrize(
    "shape", [[10**6, 10**6], [2**31, 2**31, 4], [10**12, 1], [0, 2**62, 2**62]]
)
def test_huge_shapes_take_no_memory(server: Live, rest: Rest, shape: list[int]) -> None:
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    reply = rest.ask("POST", "/v2/models/identity_fp32/infer", floats(shape, []))
    assert (reply.status, "INPUT0" in reply.error) == (400, True)
    assert process.memory_info().rss - before < 100 * 2**20
    check_alive(rest)


def test_a_half_float_as_json(rest: Rest) -> None:
    inputs = [tensor("INPUT0", "FP16", [1, 1], [1.0])]
    reply = rest.ask("POST", "/v2/models/identity_fp16/infer", {"inputs": inputs})
    assert reply.status == 400
    assert "receiving FP16 data via JSON is not supported" in reply.error
    check_alive(rest)


def binary(model_input: dict[str, Any], data: bytes, header: int | None = None) -> Any:
    body = json.dumps({"inputs": [model_input]}).encode()
    length = len(body) if header is None else header
    return body + data, {"Inference-Header-Content-Length": str(length)}


def size(count: int, shape: tuple[int, ...] = (1, 2), datatype: str = "FP32") -> dict[str, Any]:
    return {
        "name": "INPUT0",
        "datatype": datatype,
        "shape": list(shape),
        "parameters": {"binary_data_size": count},
    }


BINARIES = {
    "truncated": (binary(size(8), b"1234"), "unexpected size for input 'INPUT0', expecting 4"),
    "left over": (binary(size(8), b"12345678x"), "unexpected additional input data for model"),
    "size and shape differ": (binary(size(4), b"1234"), "byte size mismatch for input 'INPUT0'"),
    "negative size": (binary(size(-8), b"12345678"), "binary_data_size"),
    "enormous size": (binary(size(2**62), b"12345678"), "INPUT0"),
    "header beyond the body": (binary(size(8), b"", 10**6), "should be in range (0,"),
    "header inside the json": (binary(size(8), b"12345678", 20), ""),
}


@pytest.mark.parametrize(("request_", "text"), BINARIES.values(), ids=BINARIES.keys())
def test_binary_data_that_does_not_fit(rest: Rest, request_: Any, text: str) -> None:
    reply = rest.ask("POST", "/v2/models/identity_fp32/infer", *request_)
    assert (reply.status, text in reply.error) == (400, True), reply.error
    check_alive(rest)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x01\x00", "incomplete string length indicator"),
        (b"\x05\x00\x00\x00abc", "incomplete string data"),
        (b"\xff\xff\xff\xffabc", "incomplete string data"),
        (b"\x00\x00\x00\x00", "expected 2 string elements"),
        (b"\x00\x00\x00\x00" * 3, "string elements"),
    ],
)
def test_texts_in_binary_that_do_not_fit(rest: Rest, data: bytes, text: str) -> None:
    request = binary(size(len(data), datatype="BYTES"), data)
    reply = rest.ask("POST", "/v2/models/identity_bytes/infer", *request)
    assert (reply.status, text in reply.error) == (400, True), reply.error
    check_alive(rest)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("kind", ["bomb", "garbage", "truncated", "one byte", "empty"])
def test_packed_bodies_that_do_not_unpack(rest: Rest, encoding: str, kind: str) -> None:
    pack = gzip.compress if encoding == "gzip" else zlib.compress
    body = {
        "bomb": pack(b" " * 100 * 2**20),
        "garbage": b"x\x9cgarbage",
        "truncated": pack(json.dumps(GOOD).encode())[:-6],
        "one byte": b"x",
        "empty": b"",
    }[kind]
    path = "/v2/models/simple/infer"
    reply = rest.ask("POST", path, body, {"Content-Encoding": encoding})
    assert (reply.status, bool(reply.error)) == (413 if kind == "bomb" else 400, True)
    check_alive(rest)


def test_an_unknown_encoding(rest: Rest) -> None:
    headers = {"Content-Encoding": "br"}
    reply = rest.ask("POST", "/v2/models/simple/infer", json.dumps(GOOD).encode(), headers)
    assert (reply.status, "Content-Encoding 'br'" in reply.error) == (415, True)
    assert reply.headers["accept-encoding"] == "gzip, deflate, identity"
    check_alive(rest)


@pytest.mark.parametrize("path", ["/v2/logging", "/v2/trace/setting", "/v2/repository/index"])
@pytest.mark.parametrize("body", [b"{", b"[]", b'{"nonsense": 1}', b'{"log_info": 3}'])
def test_wrong_settings(rest: Rest, path: str, body: bytes) -> None:
    reply = rest.ask("POST", path, body)
    if "index" in path and b":" in body:
        assert reply.status == 200  # what an index request does not know it passes over
    else:
        assert (reply.status, bool(reply.error)) == (400, True)
    check_alive(rest)


@pytest.mark.timed
def test_a_body_that_is_sent_too_slowly(server: Live) -> None:
    body = json.dumps(GOOD).encode()
    head = (
        f"POST /v2/models/simple/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((HOST, server.http_port), timeout=20) as connection:
        connection.sendall(head.encode() + body[:20])
        started = time.monotonic()
        answer = connection.recv(65536)
        assert time.monotonic() - started < 10
    assert b" 408 " in answer.splitlines()[0]
    with server.rest() as rest:
        check_alive(rest)


def test_a_body_that_never_begins(server: Live) -> None:
    head = b"POST /v2/models/simple/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"
    with socket.create_connection((HOST, server.http_port), timeout=20) as connection:
        connection.sendall(head)
        answer = connection.recv(65536)
    assert b" 408 " in answer.splitlines()[0]


def test_a_flood_of_silent_connections(server: Live) -> None:
    flood = [socket.create_connection((HOST, server.http_port), timeout=20) for _ in range(300)]
    try:
        for connection in flood[::2]:
            connection.sendall(b"POST /v2/models/simple/infer HTTP/1.1\r\nHost: x\r\n")
        with server.rest() as rest:
            check_alive(rest)
    finally:
        for connection in flood:
            connection.close()
    with server.rest() as rest:
        check_alive(rest)


WRONG = [json.dumps(request).encode() for request, _ in SIMPLE] + [
    body for body in BODIES.values() if len(body) < 2000
]


def pipelined(server: Live, bodies: list[bytes]) -> int:
    """Send requests without waiting; how many of the answers were 400."""
    head = "POST /v2/models/simple/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s\r\n"
    parts = [(head % (len(b), "")).encode() + b for b in bodies[:-1]]
    parts.append((head % (len(bodies[-1]), "Connection: close\r\n")).encode() + bodies[-1])
    with socket.create_connection((HOST, server.http_port), timeout=30) as connection:
        connection.sendall(b"".join(parts))
        answer = b""
        while part := connection.recv(2**20):
            answer += part
    return answer.count(b"HTTP/1.1 400")


def test_ten_thousand_wrong_requests(server: Live) -> None:
    process = psutil.Process(server.process.pid)
    bodies = (WRONG * 4)[:200]
    assert pipelined(server, bodies) == 200
    before = process.memory_info().rss
    for _ in range(50):
        assert pipelined(server, bodies) == 200
    assert process.memory_info().rss - before < 50 * 2**20
    with server.rest() as rest:
        check_alive(rest)
    eventually(lambda: process.num_fds() < 100)
    assert server.text_answer("echo_any", "a") == ["a"]
    assert server.infer("echo_any", text_input("x")).status == 200
