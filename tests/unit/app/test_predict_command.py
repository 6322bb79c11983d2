"""``penstock predict``: the request, the reply, what is printed, exit status."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.unit.app.shell import Shell, StubServer


def meta(datatype: str, shape: list[int]) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "datatype": datatype, "shape": shape}]}


def reply(stub: StubServer, outputs: list[dict[str, Any]], raw: bytes = b"") -> None:
    head = json.dumps({"model_name": "m", "model_version": "4", "outputs": outputs}).encode()
    stub.headers = {"Inference-Header-Content-Length": str(len(head))} if raw else {}
    stub.answers["POST /v2/models/m/infer"] = (200, head + raw)


@pytest.fixture(autouse=True)
def model(stub: StubServer) -> None:
    """A model of a table-like input, which answers one INT64 per row."""
    stub.answers["GET /v2/models/m"] = (200, meta("FP32", [-1, 2]))
    stub.answers["GET /v2/models/m/config"] = (404, {"error": "no"})
    reply(stub, [{"name": "y", "datatype": "INT64", "shape": [2], "data": [5, 6]}])


def sent(stub: StubServer) -> tuple[dict[str, Any], bytes]:
    _, _, headers, body = stub.asked[-1]
    size = int(headers["inference-header-content-length"])
    return json.loads(body[:size]), body[size:]


def test_rows_go_out_in_binary(shell: Shell, stub: StubServer) -> None:
    ran = shell("predict", "m", "--input", "-", stdin=b"[[1, 2], [3, 4]]")
    assert ran.code == 0
    assert ran.out == "row  y\n0    5\n1    6\n"
    assert ran.err.startswith("m version 4, ")
    head, raw = sent(stub)
    assert head == {
        "inputs": [
            {
                "name": "x",
                "datatype": "FP32",
                "shape": [2, 2],
                "parameters": {"binary_data_size": 16},
            }
        ],
        "parameters": {"binary_data_output": True},
    }
    assert raw == struct.pack("<4f", 1, 2, 3, 4)


def test_image_goes_out_as_bytes(shell: Shell, stub: StubServer) -> None:
    stub.answers["GET /v2/models/m"] = (200, meta("BYTES", [-1]))
    Path("digit.png").write_bytes(b"\x89PNG")
    assert shell("predict", "m", "--input", "digit.png").code == 0
    assert sent(stub)[1] == b"\x04\0\0\0\x89PNG"


def test_written_request_is_sent_as_it_is(shell: Shell, stub: StubServer) -> None:
    text = b'{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}'
    assert shell("predict", "m", "--input", "-", stdin=text).code == 0
    assert [asked[1] for asked in stub.asked] == ["/v2/models/m/infer"]
    assert stub.asked[0][3] == text


def test_version_is_in_the_path(shell: Shell, stub: StubServer) -> None:
    base = "/v2/models/m/versions/old"
    stub.answers[f"GET {base}"] = stub.answers["GET /v2/models/m"]
    stub.answers[f"POST {base}/infer"] = stub.answers["POST /v2/models/m/infer"]
    assert shell("predict", "m", "-i", "-", "--version", "old", stdin=b"[1, 2]").code == 0
    assert {asked[1].removeprefix(base) for asked in stub.asked} == {"", "/config", "/infer"}


def test_json_is_the_whole_answer(shell: Shell, stub: StubServer) -> None:
    outputs = [
        {
            "name": "half",
            "datatype": "FP16",
            "shape": [2],
            "parameters": {"binary_data_size": 4},
        },
        {
            "name": "raw",
            "datatype": "BYTES",
            "shape": [1],
            "parameters": {"binary_data_size": 5},
        },
        {"name": "brain", "datatype": "BF16", "shape": [1], "parameters": {"binary_data_size": 2}},
    ]
    reply(stub, outputs, struct.pack("<2e", 0.5, 2) + b"\x01\0\0\0\xff" + b"\x80\x3f")
    ran = shell("predict", "m", "-i", "-", "--json", "--output", "all.json", stdin=b"[1, 2]")
    assert ran.err == ""
    assert json.loads(ran.out) == {
        "model_name": "m",
        "model_version": "4",
        "outputs": [
            {"name": "half", "datatype": "FP16", "shape": [2], "data": [0.5, 2.0]},
            {
                "name": "raw",
                "datatype": "BYTES",
                "shape": [1],
                "parameters": {"base64": True},
                "data": ["/w=="],
            },
            {"name": "brain", "datatype": "BF16", "shape": [1], "data": [1.0]},
        ],
    }
    assert Path("all.json").read_text() == ran.out


def test_output_file_only(shell: Shell) -> None:
    ran = shell("predict", "m", "-i", "-", "--output", "all.json", stdin=b"[1, 2]")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.endswith("written to all.json\n")
    ran = shell("predict", "m", "-i", "-", "--output", "no/all.json", stdin=b"[1, 2]")
    assert ran.code == 2
    assert "--output no/all.json: no such file or directory" in ran.err


def test_first_rows_only(shell: Shell, stub: StubServer) -> None:
    reply(stub, [{"name": "y", "datatype": "BOOL", "shape": [25], "data": [True] * 25}])
    lines = shell("predict", "m", "-i", "-", stdin=b"[1, 2]").out.splitlines()
    assert len(lines) == 22
    assert lines[-2:] == ["19   true", "... 5 more"]


def test_cells(shell: Shell, stub: StubServer) -> None:
    outputs = [
        {"name": "p", "datatype": "FP32", "shape": [1, 2], "data": [0.1, 1e-9]},
        {"name": "long", "datatype": "INT64", "shape": [1, 2, 5], "data": list(range(10))},
        {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["[red]a\nb"]},
    ]
    reply(stub, outputs)
    ran = shell("predict", "m", "-i", "-", stdin=b"[1, 2]")
    assert ran.out.splitlines()[1] == (
        "0    [0.1, 1e-09]  [0, 1, 2, 3, 4, 5, 6, 7, ...] 2 x 5  [red]a\\nb"
    )


def test_outputs_without_rows_in_common(shell: Shell, stub: StubServer) -> None:
    outputs = [
        {"name": "a", "datatype": "INT64", "shape": [], "data": [3]},
        {"name": "b", "datatype": "INT64", "shape": [2], "data": [1, 2]},
    ]
    reply(stub, outputs)
    assert shell("predict", "m", "-i", "-", stdin=b"[1, 2]").out.splitlines() == [
        "output  datatype  shape  value",
        "a       INT64     []     3",
        "b       INT64     [2]    [1, 2]",
    ]
    reply(stub, [{"name": "b", "datatype": "INT64", "shape": [0], "data": []}])
    assert shell("predict", "m", "-i", "-", stdin=b"[1, 2]").out == "no rows\n"


@pytest.mark.parametrize(
    ("stdin", "kind"),
    [(b"a,b\n1,2\n", "csv"), (b" [[1, 2]]", "json"), (b"\xff\xfe", "binary"), (b"word", "binary")],
)
def test_standard_input_is_recognized(shell: Shell, stdin: bytes, kind: str) -> None:
    ran = shell("predict", "m", "-i", "-", stdin=stdin)
    assert ran.code == (1 if kind == "binary" else 0)
    assert ("needs a model with a BYTES input" in ran.err) == (kind == "binary")


def test_errors_are_one_line(shell: Shell, stub: StubServer) -> None:
    ran = shell("predict", "m", "-i", "no.json")
    assert ran == (2, "", "penstock: no.json: cannot be read: no such file or directory\n")
    ran = shell("predict", "m", "-i", "-", stdin=b"{")
    assert ran.code == 1
    assert ran.err.startswith("penstock: standard input:1:2: not valid JSON")
    stub.answers["POST /v2/models/m/infer"] = (429, {"error": "full"})
    assert shell("predict", "m", "-i", "-", stdin=b"[1, 2]") == (1, "", "penstock: full\n")
    assert (
        shell("predict", "other", "-i", "-", stdin=b"[1]").err == "penstock: no /v2/models/other\n"
    )


@pytest.mark.parametrize("body", [b"{}", b"[]", b"<html>", b'{"outputs": [{"name": "y"}]}'])
def test_reply_that_is_none(shell: Shell, stub: StubServer, body: bytes) -> None:
    stub.answers["POST /v2/models/m/infer"] = (200, body)
    ran = shell("predict", "m", "-i", "-", stdin=b"[1, 2]")
    assert ran.code == 1
    assert ran.err.startswith("penstock: the server's answer is no V2 reply")
