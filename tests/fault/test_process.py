"""Starts that cannot work, and ends of every kind."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.interop.live import AT_ONCE, HOST, Live, eventually, run_cli, seconds_input
from tests.interop.models import PYTHON_MODELS, save_python

pytestmark = pytest.mark.fault


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    return save_python(tmp_path / "slow.py", PYTHON_MODELS["slow"])


def refused(tmp_path: Path, *args: str | Path) -> str:
    """The one line that ``penstock serve`` says before it ends with 2."""
    done = run_cli("serve", *args, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("penstock: ")
    return str(line)


@pytest.mark.parametrize("option", ["--http-port", "--grpc-port"])
def test_a_port_in_use(tmp_path: Path, slow: Path, option: str) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = str(taken.getsockname()[1])
        other = "--grpc-port" if option == "--http-port" else "--http-port"
        line = refused(tmp_path, slow, option, port, other, "0")
    assert port in line
    assert option in line


def test_an_address_that_is_not_ours(tmp_path: Path, slow: Path) -> None:
    line = refused(tmp_path, slow, "--host", "192.0.2.1", "--http-port", "0")
    assert "192.0.2.1" in line


def test_a_path_that_is_not_there(tmp_path: Path, slow: Path) -> None:
    line = refused(tmp_path, tmp_path / "slaw.py", "--http-port", "0", "--grpc-port", "0")
    assert "no such file" in line
    assert "slow.py" in line


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"x")
    line = refused(tmp_path, "m.gguf", "--http-port", "0", "--grpc-port", "0")
    assert ".gguf" in line
    assert "ONNX" in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir(mode=0)
    try:
        line = refused(tmp_path, "models", "--http-port", "0", "--grpc-port", "0")
    finally:
        (tmp_path / "models").chmod(0o700)
    assert "models" in line


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("a: [", "settings.yaml"),
        ("- 1", "mapping"),
        ("http: {prot: 1}", "http.port"),
        ("http: {port: many}", "http.port"),
        ("http: {port: 99999}", "http.port"),
        ("model_control: sometimes", "model_control"),
        ("\x00", "settings.yaml"),
    ],
)
def test_a_bad_settings_file(tmp_path: Path, slow: Path, content: str, text: str) -> None:
    (tmp_path / "settings.yaml").write_text(content)
    line = refused(tmp_path, slow, "--config", "settings.yaml")
    assert "settings.yaml" in line
    assert text in line


def test_a_settings_file_that_is_not_there(tmp_path: Path, slow: Path) -> None:
    assert "nothing.yaml" in refused(tmp_path, slow, "--config", "nothing.yaml")


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("http.prot=1", "did you mean 'http.port'"),
        ("http.port=many", "http.port"),
        ("http", "name=value"),
        ("drain_timeout_s=-1", "drain_timeout_s"),
    ],
)
def test_a_bad_setting(tmp_path: Path, slow: Path, setting: str, text: str) -> None:
    assert text in refused(tmp_path, slow, "--set", setting)


def test_two_models_of_one_name(tmp_path: Path, slow: Path) -> None:
    other = save_python(tmp_path / "other" / "slow.py", PYTHON_MODELS["slow"])
    line = refused(tmp_path, slow, other, "--http-port", "0", "--grpc-port", "0")
    assert "slow" in line


def refuses_connections(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_under_way_is_answered_before_the_end(
    tmp_path: Path, slow: Path, number: int
) -> None:
    with Live([slow], *AT_ONCE, folder=tmp_path) as server, ThreadPoolExecutor(1) as pool:
        future = pool.submit(server.infer, "slow", seconds_input(1.0))
        eventually(lambda: server.metric("penstock_instances_busy", model="slow"))
        server.send_signal(number)
        eventually(lambda: refuses_connections(server.http_port))
        eventually(lambda: refuses_connections(server.grpc_port))
        assert not future.done()
        assert future.result().json()["outputs"][0]["data"] == [1.0]
        assert server.wait() == 0
    assert "Traceback" not in server.log_text()


def test_idle_connections_do_not_hold_up_the_end(tmp_path: Path, slow: Path) -> None:
    with Live([slow], *AT_ONCE, folder=tmp_path) as server, server.rest() as rest:
        assert rest.ask("GET", "/livez").status == 200
        server.send_signal(signal.SIGTERM)
        assert server.wait(8) == 0
    assert "Traceback" not in server.log_text()


def test_the_drain_ends_at_its_deadline(tmp_path: Path, slow: Path) -> None:
    arguments = [*AT_ONCE, "--set", "drain_timeout_s=0.3"]
    with Live([slow], *arguments, folder=tmp_path) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: _quietly(server, 3.0))
        eventually(lambda: server.metric("penstock_instances_busy", model="slow"))
        server.send_signal(signal.SIGTERM)
        server.wait(12)
    assert "given up" in server.log_text()


def test_a_second_signal_ends_it_at_once(tmp_path: Path, slow: Path) -> None:
    with Live([slow], *AT_ONCE, folder=tmp_path) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: _quietly(server, 5.0))
        eventually(lambda: server.metric("penstock_instances_busy", model="slow"))
        server.send_signal(signal.SIGINT)
        eventually(lambda: "draining" in server.log_text())
        server.send_signal(signal.SIGINT)
        assert server.wait(3) == -signal.SIGINT


def test_a_kill_leaves_nothing(tmp_path: Path, slow: Path) -> None:
    with Live([slow], *AT_ONCE, folder=tmp_path) as server:
        children = psutil.Process(server.process.pid).children(recursive=True)
        server.process.kill()
        server.wait()
    assert not [child for child in children if child.is_running()]
    assert refuses_connections(server.http_port)
    assert sorted(p.suffix for p in tmp_path.iterdir() if p.is_file()) == [".log", ".py"]
    with Live([slow], *AT_ONCE, folder=tmp_path) as again:
        assert again.infer("slow", seconds_input(0)).status == 200


def test_a_stop_while_models_load(tmp_path: Path) -> None:
    source = PYTHON_MODELS["slow"].replace(
        "    def predict",
        "    def load(self, context):\n        threading.Event().wait(2)\n\n    def predict",
    )
    path = save_python(tmp_path / "late.py", source)
    server = Live([path], *AT_ONCE, folder=tmp_path)
    try:
        server.wait_answers()
        assert server.ask("GET", "/readyz").status == 503
        server.send_signal(signal.SIGTERM)
        assert server.wait(12) == 0
    finally:
        server.stop()
    assert "Traceback" not in server.log_text()


def _quietly(server: Live, seconds: float) -> None:
    """A request whose connection may break."""
    with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
        server.infer("slow", seconds_input(seconds))
