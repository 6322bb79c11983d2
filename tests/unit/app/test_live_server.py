"""The commands against a real ``penstock serve``."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.app.shell import Shell

_MODEL = """
import penstock

class Shout(penstock.Model):
    def predict(self, text: list[str]) -> list[str]:
        return [t.upper() for t in text]
"""


@pytest.fixture
def url(shell: Shell, tmp_path: Path) -> Iterator[str]:
    (tmp_path / "app.py").write_text(_MODEL)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    flags = ["--http-port", str(port), "--model-control", "explicit", "--load-model", "shout"]
    flags += ["--set", "grpc.enabled=false", "--set", "watch.settle_s=0"]
    code = "from penstock.app.cli.main import main; main()"
    command = [sys.executable, "-c", code, "serve", "app.py:Shout", *flags]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as server:
        try:
            until_s, pause = time.monotonic() + 30, threading.Event()
            while shell("models", "ready", "shout", "--url", address).code:
                assert time.monotonic() < until_s
                assert server.poll() is None
                pause.wait(0.05)
            yield address
        finally:
            server.terminate()


def test_every_command(shell: Shell, url: str) -> None:
    at = ("--url", url)
    row = shell("models", "list", *at).out.splitlines()[1].split()
    assert row[:3] == ["shout", "1", "ready"]
    assert (float(row[3]) > 0, row[4]) == (True, "B")
    ran = shell("predict", "shout", "-i", "-", *at, stdin=b'["a", "\xc3\xbc"]')
    assert ran.out.splitlines() == ["row  output", "0    A", "1    Ü"]
    shown = shell("models", "show", "shout", *at).out
    assert f"curl -s {url}/v2/models/shout/infer" in shown
    assert shell("models", "unload", "shout", *at).code == 0
    assert shell("models", "ready", "shout", *at).code == 1
    assert shell("predict", "shout", "-i", "-", *at, stdin=b'["a"]').code == 1
    assert shell("models", "load", "shout", *at).code == 0
    ran = shell("predict", "shout", "-i", "-", "--json", *at, stdin=b'{"text": "b"}')
    assert json.loads(ran.out)["outputs"][0]["data"] == ["B"]
    assert shell("models", "load", "nope", *at).code == 1
