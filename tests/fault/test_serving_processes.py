"""Several serving processes: they die, are killed, drain and swap, and nobody else notices."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import psutil
import pytest

from penstock.dialects.open_inference.proto import grpc_predict_v2_pb2 as pb
from penstock.dialects.open_inference.proto import grpc_predict_v2_pb2_grpc as pb_grpc
from tests.fault.fleet import EXPLICIT, Fleet, Steady, save_who
from tests.fault.test_process import refused, refuses_connections
from tests.interop.live import HOST, eventually, run_cli, seconds_input, text_input
from tests.interop.models import PYTHON_MODELS, save_python, save_version

pytestmark = [pytest.mark.fault, pytest.mark.timeout(120)]

HTTP_ONLY = ("--set", "grpc.enabled=false")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    root = tmp_path / "models"
    save_who(root)
    save_version(root, "m", 1)
    return root


def test_all_serve_on_one_port_and_say_so_once(tmp_path: Path, models: Path) -> None:
    with Fleet([models], *HTTP_ONLY, folder=tmp_path, workers=3) as server:
        with server.each() as connections:
            assert sorted(connections) == sorted(server.pids())
        eventually(lambda: "3 serving processes" in server.log_text())
        log = server.log_text()
    assert log.count("REST http://") == 1
    for number in (1, 2, 3):
        assert f"[{number}] penstock.lifecycle: loaded 'm' version 1" in log
    assert server.wait() == 0
    assert "Traceback" not in server.log_text()


def test_who_was_answered_once_is_refused_by_none(tmp_path: Path) -> None:
    """One process has its model long before the other."""
    save_python(
        tmp_path / "models" / "late" / "1" / "model.py",
        PYTHON_MODELS["echo_any"].replace("class", "import time, pathlib\n\nclass", 1)
        + f"""
    def load(self, context):
        try:
            pathlib.Path({str(tmp_path / "first")!r}).touch(exist_ok=False)
        except FileExistsError:
            time.sleep(2)
""",
    )
    server = Fleet([tmp_path / "models"], *HTTP_ONLY, folder=tmp_path)
    try:
        eventually(lambda: _status(server) == 200, 30)
        assert {_status(server) for _ in range(200)} == {200}
    finally:
        server.stop()


def _status(server: Fleet) -> int:
    """What a new connection is told; 0: there is none."""
    try:
        with server.rest(10) as rest:
            return rest.infer("late", text_input("a")).status
    except OSError:
        return 0


def test_a_killed_process_takes_only_its_own_connections(tmp_path: Path, models: Path) -> None:
    arguments = (*EXPLICIT, *HTTP_ONLY)
    with Fleet([models], *arguments, folder=tmp_path) as server:
        labels = {"parameters": {"config": '{"labels": {"best": 1}}'}}
        assert server.ask("POST", "/v2/repository/models/m/load", labels).status == 200
        victim, other = server.pids()
        with Steady(server) as clients:
            os.kill(victim, signal.SIGKILL)
            eventually(lambda: len(server.pids()) == 2 and victim not in server.pids())
            server.back()
            clients.more(200)
        assert {pid for pid, _ in clients.failures} <= {victim, 0}
        assert all("Refused" not in text for _, text in clients.failures)
        assert len([text for _, text in clients.failures if text[:3].isdigit()]) == 0
        assert other in server.pids()
        assert server.metric("penstock_process_deaths_total") == 1
        path = "/v2/models/m/versions/best/infer"
        body = {"inputs": [text_input("a")]}
        with server.each() as connections:
            assert len(connections) == 2
            for rest in connections.values():
                assert rest.ask("POST", path, body).json()["outputs"][0]["data"] == ["a-v1"]
    assert "was killed by SIGKILL" in server.log_text()


def test_a_killed_supervisor_leaves_nothing(tmp_path: Path, models: Path) -> None:
    with Fleet([models], *HTTP_ONLY, folder=tmp_path) as server:
        family = psutil.Process(server.process.pid).children(recursive=True)
        folder = server.folder()
        assert folder.stat().st_mode & 0o777 == 0o700
        server.process.kill()
        server.wait()
        _, alive = psutil.wait_procs(family, 10)
        assert alive == []
        eventually(lambda: not folder.exists())
        assert refuses_connections(server.http_port)


def test_a_supervisor_killed_with_its_reaper_is_missed_all_the_same(
    tmp_path: Path, models: Path
) -> None:
    with Fleet([models], *HTTP_ONLY, folder=tmp_path) as server:
        family = psutil.Process(server.process.pid).children(recursive=True)
        folder = server.folder()
        for child in family:
            if "reaper.py" in " ".join(child.cmdline()):
                child.kill()
        server.process.kill()
        server.wait()
        _, alive = psutil.wait_procs(family, 10)
        assert alive == []
        assert not folder.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_all_drain_and_answer_what_is_under_way(tmp_path: Path, models: Path, number: int) -> None:
    save_python(models / "slow" / "1" / "model.py", PYTHON_MODELS["slow"])
    with Fleet([models], *HTTP_ONLY, folder=tmp_path) as server:
        folder = server.folder()
        with server.each() as connections, ThreadPoolExecutor(4) as pool:
            asked = [
                pool.submit(rest.infer, "slow", seconds_input(1.5)) for rest in connections.values()
            ]
            eventually(lambda: server.metric("penstock_instances_busy", model="slow") == 2)
            server.send_signal(number)
            eventually(lambda: refuses_connections(server.http_port))
            assert not any(one.done() for one in asked)
            assert [one.result(10).status for one in asked] == [200, 200]
        assert server.wait(10) == 0
        assert not folder.exists()
    assert server.log_text().count("draining") == 2
    assert "Traceback" not in server.log_text()


def test_a_process_that_does_not_end_is_killed(tmp_path: Path, models: Path) -> None:
    arguments = (*HTTP_ONLY, "--set", "drain_timeout_s=0.1")
    with Fleet([models], *arguments, folder=tmp_path) as server:
        stuck = server.pids()[0]
        os.kill(stuck, signal.SIGSTOP)
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
        assert not psutil.pid_exists(stuck)
    assert "does not end: killed" in server.log_text()


def test_a_swap_under_load_fails_no_request(tmp_path: Path, models: Path) -> None:
    with Fleet([models], *HTTP_ONLY, folder=tmp_path) as server:
        with Steady(server, "m") as clients:
            save_version(tmp_path, "ready", 2)
            (tmp_path / "ready" / "2").rename(models / "m" / "2")

            def has_swapped() -> bool:
                with server.each() as connections:
                    told = [rest.infer("m", text_input("a")) for rest in connections.values()]
                return [one.json()["outputs"][0]["data"] for one in told] == [["a-v2"]] * 2

            eventually(has_swapped, 20)
            clients.more(100)
        assert clients.failures == []
        assert set(clients.answers) == {"a-v1", "a-v2"}


@pytest.mark.timed
def test_loads_and_unloads_from_anywhere_hold_everywhere(tmp_path: Path, models: Path) -> None:
    choice = random.Random(7)
    with Fleet([models], *EXPLICIT, *HTTP_ONLY, folder=tmp_path, workers=3) as server:
        with server.each() as connections, Steady(server) as clients:
            every = [*connections.values()]
            for turn in range(10):
                order = "unload" if turn % 2 else "load"
                started = time.monotonic()
                path = f"/v2/repository/models/m/{order}"
                reply = choice.choice(every).ask("POST", path)
                assert reply.status == 200, reply.body
                ready = [rest.ask("GET", "/v2/models/m/ready").status for rest in every]
                assert ready == [200 if order == "load" else 503] * 3
                assert time.monotonic() - started < 3  # on a busy machine; the law is 1 s
        assert clients.failures == []


def test_two_orders_at_once_end_in_the_same_place(tmp_path: Path, models: Path) -> None:
    with (
        Fleet([models], *EXPLICIT, *HTTP_ONLY, folder=tmp_path) as server,
        server.each() as connections,
        ThreadPoolExecutor(2) as pool,
    ):
        one, two = connections.values()

        def agreed() -> bool:
            ready = {rest.ask("GET", "/v2/models/m/ready").status for rest in (one, two)}
            return len(ready) == 1

        for _ in range(8):
            load = pool.submit(one.ask, "POST", "/v2/repository/models/m/load")
            unload = pool.submit(two.ask, "POST", "/v2/repository/models/m/unload")
            assert {load.result(20).status, unload.result(20).status} <= {200, 500}
            eventually(agreed, 5)


def test_a_load_that_fails_is_told_and_changes_nothing(tmp_path: Path, models: Path) -> None:
    with Fleet([models], *EXPLICIT, *HTTP_ONLY, folder=tmp_path) as server:
        load = "/v2/repository/models/m/load"
        assert server.ask("POST", load).status == 200
        for config, text in (
            ('{"max_batch_size": "many"}', "max_batch_size"),
            ('{"runtime": "onnx"}', "cannot be overridden"),
        ):
            reply = server.ask("POST", load, {"parameters": {"config": config}})
            assert reply.status >= 400
            assert text in reply.error
            assert server.is_ready_everywhere("m")
        reply = server.ask("POST", "/v2/repository/models/nothing/load")
        assert reply.error == "failed to load 'nothing', failed to poll from model repository"


def test_log_and_trace_settings_are_those_of_all(tmp_path: Path, models: Path) -> None:
    with Fleet([models], *HTTP_ONLY, folder=tmp_path) as server:
        server.ask("POST", "/v2/logging", {"log_verbose_level": 1})
        server.ask("POST", "/v2/models/m/trace/setting", {"trace_rate": "7"})
        assert [
            one.json()["log_verbose_level"] for one in server.ask_each("GET", "/v2/logging")
        ] == [
            1,
            1,
        ]
        traced = server.ask_each("GET", "/v2/models/m/trace/setting")
        assert [one.json()["trace_rate"] for one in traced] == ["7", "7"]
        os.kill(server.pids()[0], signal.SIGKILL)
        eventually(lambda: server.metric("penstock_process_deaths_total") == 1)
        server.back()
        assert {
            one.json()["log_verbose_level"] for one in server.ask_each("GET", "/v2/logging")
        } == {1}


@pytest.mark.timed
def test_numbers_are_those_of_all(tmp_path: Path, models: Path) -> None:
    with Fleet([models], *HTTP_ONLY, folder=tmp_path) as server, server.each() as connections:
        for rest in connections.values():
            for _ in range(5):
                assert rest.infer("m", text_input("a")).status == 200
        for rest in connections.values():
            page = rest.ask("GET", "/metrics").body.decode()
            assert 'penstock_requests_total{model="m",outcome="ok",version="1"} 10.0' in page
            assert 'penstock_model_state{model="m",state="ready",version="1"} 1.0' in page
            assert 'penstock_instances{model="m",version="1"} 2.0' in page
            stats = rest.ask("GET", "/v2/models/m/versions/1/stats").json()["model_stats"]
            assert [one["inference_count"] for one in stats] == [10]
            assert stats[0]["inference_stats"]["success"]["count"] == 10
        stuck, asked = sorted(connections)
        os.kill(stuck, signal.SIGSTOP)
        try:
            started = time.monotonic()
            page = connections[asked].ask("GET", "/metrics").body.decode()
            assert time.monotonic() - started < 3
        finally:
            os.kill(stuck, signal.SIGCONT)
        assert "penstock_processes 2.0" in page, "with its last numbers"
        again = connections[asked].ask("GET", "/metrics").body.decode()
        assert "penstock_processes 2.0" in again
        assert "penstock_processes_silent_total 1.0" in again


def test_processes_that_die_at_once_are_given_up(tmp_path: Path) -> None:
    source = PYTHON_MODELS["slow"].replace(
        "    def predict",
        "    def load(self, context):\n        import os\n\n        os._exit(3)\n\n    def predict",
    )
    save_python(tmp_path / "deadly.py", source)
    done = run_cli(
        "serve",
        "deadly.py",
        "--workers",
        "2",
        "--http-port",
        "0",
        *HTTP_ONLY,
        cwd=tmp_path,
        timeout_s=90,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("penstock: the serving processes do not come up")
    assert "exited with status 3" in done.stderr


@pytest.mark.parametrize("option", ["--http-port", "--grpc-port"])
def test_a_port_in_use(tmp_path: Path, models: Path, option: str) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = str(taken.getsockname()[1])
        other = "--grpc-port" if option == "--http-port" else "--http-port"
        line = refused(tmp_path, models, option, port, other, "0", "--workers", "2")
    assert port in line
    assert option in line


def test_a_port_that_another_server_shares_among_its_own(tmp_path: Path, models: Path) -> None:
    with Fleet([models], folder=tmp_path) as server:
        port = str(server.grpc_port)
        line = refused(tmp_path, models, "--grpc-port", port, "--http-port", "0", "--workers", "2")
    assert port in line


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nothing-there"], "nothing-there"),
        (["models", "--workers", "0"], "processes"),
        (["models", "--workers", "few"], "processes"),
        (["models", "--set", "control_store=etcd://there"], "control_store"),
        (["models", "--set", "control_store=sqlite:///models/who"], "control_store"),
    ],
)
def test_what_is_wrong_is_said_once(
    tmp_path: Path, models: Path, arguments: list[str], text: str
) -> None:
    ports = ("--workers", "2", "--http-port", "0", "--grpc-port", "0")
    assert text in refused(tmp_path, *ports, *arguments)


def ask_grpc(server: Fleet) -> int:
    """The process behind a new gRPC connection."""
    message = pb.ModelInferRequest(model_name="who")
    tensor = message.inputs.add()
    tensor.name, tensor.datatype = "text", "BYTES"
    tensor.shape.append(1)
    tensor.contents.bytes_contents.append(b"")
    own = (("grpc.use_local_subchannel_pool", 1),)
    with grpc.insecure_channel(server.grpc_address, options=own) as channel:
        stub = pb_grpc.GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
        answer = stub.ModelInfer(message, timeout=10, wait_for_ready=True)
    return int(answer.raw_output_contents[0][4:] or answer.outputs[0].contents.bytes_contents[0])


def grpc_count(server: Fleet) -> int:
    """How many predictions the statistics tell of."""
    with grpc.insecure_channel(server.grpc_address) as channel:
        stub = pb_grpc.GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
        (told,) = stub.ModelStatistics(
            pb.ModelStatisticsRequest(name="who"), timeout=10
        ).model_stats
    return int(told.inference_count)


@pytest.mark.parametrize("engine", ["", "--set=grpc.engine=grpcio"])
def test_grpc_reaches_all_of_them(tmp_path: Path, models: Path, engine: str) -> None:
    arguments = [engine] if engine else []
    with Fleet([models], *arguments, folder=tmp_path) as server:
        found: set[int] = set()
        eventually(lambda: found.add(ask_grpc(server)) or len(found) == 2, 30)  # type: ignore[func-returns-value]
        assert found == set(server.pids())
        before = grpc_count(server)
        ask_grpc(server)
        assert {grpc_count(server) for _ in range(8)} == {before + 1}
        os.kill(min(found), signal.SIGKILL)
        eventually(lambda: server.metric("penstock_process_deaths_total") == 1)
        assert {ask_grpc(server) for _ in range(20)} <= set(server.pids())
        server.send_signal(signal.SIGTERM)
        assert server.wait(15) == 0
    assert "Traceback" not in server.log_text()


def test_a_process_that_hangs_holds_up_nobody_for_long(tmp_path: Path, models: Path) -> None:
    with (
        Fleet([models], *EXPLICIT, *HTTP_ONLY, folder=tmp_path) as server,
        server.each() as connections,
    ):
        stuck, asked = sorted(connections)
        os.kill(stuck, signal.SIGSTOP)
        try:
            reply = connections[asked].ask("POST", "/v2/repository/models/m/load")
            assert reply.status == 200
        finally:
            os.kill(stuck, signal.SIGCONT)
        late = connections[stuck]
        eventually(lambda: late.ask("GET", "/v2/models/m/ready").status == 200, 5)
    assert "Traceback" not in server.log_text()


def test_a_load_that_kills_is_not_repeated(tmp_path: Path, models: Path) -> None:
    source = PYTHON_MODELS["slow"].replace(
        "    def predict",
        "    def load(self, context):\n        import os\n\n        os._exit(3)\n\n    def predict",
    )
    save_python(models / "deadly" / "1" / "model.py", source)
    with Fleet([models], *EXPLICIT, *HTTP_ONLY, folder=tmp_path) as server:
        assert server.ask("POST", "/v2/repository/models/m/load").status == 200
        before = set(server.pids())
        with contextlib.suppress(OSError, http.client.HTTPException):
            server.ask("POST", "/v2/repository/models/deadly/load")
        eventually(lambda: "is taken back" in server.log_text())
        server.wait_ready()
        server.back()
        assert before != set(server.pids())
        assert server.is_ready_everywhere("m")
        assert {one.status for one in server.ask_each("GET", "/v2/models/deadly/ready")} == {503}


def test_a_forked_child_does_not_hide_the_death_of_its_process(tmp_path: Path) -> None:
    """It has the channel to the supervisor, and the port, open still."""
    source = PYTHON_MODELS["slow"].replace(
        "    def predict",
        "    def load(self, context):\n        import os\n\n        if os.fork() == 0:\n"
        "            os.setsid()\n            threading.Event().wait(20)\n"
        "            os._exit(0)\n\n"
        "    def predict",
    )
    root = tmp_path / "models"
    save_who(root)
    save_python(root / "forks" / "1" / "model.py", source)
    with Fleet([root], *HTTP_ONLY, folder=tmp_path) as server:
        victim = server.pids()[0]
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: "was killed by SIGKILL" in server.log_text(), 5)
        server.back()
