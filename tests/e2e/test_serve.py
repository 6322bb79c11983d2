"""``penstock serve`` as people use it: files, classes, folders, repositories; swaps; the pages."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from penstock.dialects.open_inference.proto import grpc_predict_v2_pb2 as pb
from penstock.dialects.open_inference.proto import grpc_predict_v2_pb2_grpc as pb_grpc
from tests.interop.live import (
    AT_ONCE,
    PENSTOCK,
    Live,
    clean_environ,
    eventually,
    tensor,
    text_input,
)
from tests.interop.models import (
    PYTHON_MODELS,
    SIMPLE_YAML,
    save_python,
    save_scale,
    save_simple,
    save_version,
)

QUICK = ("--set", "watch.settle_s=0.2", "--set", "watch.poll_interval_s=0.2")
X = tensor("x", "FP32", [1, 4], [1, 2, 3, 4])


def names(server: Live) -> list[str]:
    listed = server.ask("GET", "/v2/models").json()["models"]
    assert isinstance(listed, list)
    return listed


def test_a_single_onnx_file(tmp_path: Path) -> None:
    path = save_scale(tmp_path / "scale.onnx", 2.0)
    with Live([path], *AT_ONCE, folder=tmp_path) as server:
        assert names(server) == ["scale"]
        assert server.infer("scale", X).json()["outputs"][0]["data"] == [2.0, 4.0, 6.0, 8.0]


def test_a_class_in_a_file(tmp_path: Path) -> None:
    classes = PYTHON_MODELS["echo_any"] + PYTHON_MODELS["raiser"].partition("Model\n")[2]
    source = "from penstock import InvalidInput\n" + classes
    save_python(tmp_path / "app.py", source)
    with Live(["app.py:Raiser"], *AT_ONCE, folder=tmp_path) as server:
        assert names(server) == ["raiser"]
        assert server.text_answer("raiser", "a") == ["A"]


def test_a_model_folder_and_a_repository_side_by_side(tmp_path: Path) -> None:
    save_simple(tmp_path / "simple" / "model.onnx")
    (tmp_path / "simple" / "model.yaml").write_text(SIMPLE_YAML)
    save_version(tmp_path / "more", "m", 7)
    with Live(["simple", "more"], *AT_ONCE, folder=tmp_path) as server:
        assert names(server) == ["m", "simple"]
        assert server.text_answer("m", "a") == ["a-v7"]
        config = server.ask("GET", "/v2/models/simple/config").json()
        assert config["max_batch_size"] == 8


def test_an_empty_repository_fills_up(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    with Live(["models"], *QUICK, folder=tmp_path) as server:
        assert names(server) == []
        save_version(tmp_path / "models", "m", 1)
        eventually(lambda: names(server) == ["m"])
        assert server.text_answer("m", "a") == ["a-v1"]


@pytest.mark.parametrize("mode", ["watch", "none", "explicit"])
def test_files_written_just_now_are_waited_for_before_it_says_ready(
    tmp_path: Path, mode: str
) -> None:
    save_version(tmp_path / "models", "m", 1)
    arguments = ["--model-control", mode, "--set", "watch.settle_s=0.7"]
    arguments += ["--load-model", "m"] if mode == "explicit" else []
    with Live(["models"], *arguments, folder=tmp_path) as server:
        assert server.text_answer("m", "a") == ["a-v1"]


def test_new_versions_under_traffic_lose_no_request(tmp_path: Path) -> None:
    models = tmp_path / "models"
    save_scale(models / "m" / "1" / "model.onnx", 1.0)
    stop = threading.Event()

    with Live([models], *QUICK, folder=tmp_path) as server:
        eventually(lambda: server.infer("m", X).status == 200)

        def ask() -> tuple[int, list[str], list[str]]:
            count, wrong, seen = 0, [], []
            with server.rest() as rest:
                while not stop.is_set():
                    reply = rest.infer("m", X)
                    count += 1
                    if reply.status != 200:
                        wrong.append(reply.error)
                        continue
                    answer = reply.json()
                    factor = float(answer["model_version"])
                    if answer["outputs"][0]["data"] != [factor * x for x in (1, 2, 3, 4)]:
                        wrong.append(str(answer))
                    if answer["model_version"] not in seen:
                        seen.append(answer["model_version"])
            return count, wrong, seen

        with ThreadPoolExecutor(4) as pool:
            asking = [pool.submit(ask) for _ in range(4)]
            for version in (2, 3):
                save_scale(models / "m" / str(version) / "model.onnx", float(version))
                path = f"/v2/models/m/versions/{version}/ready"
                eventually(lambda path=path: server.ask("GET", path).status == 200)
            eventually(lambda: server.infer("m", X).json()["model_version"] == "3")
            stop.set()
            results = [future.result() for future in asking]
    assert [wrong for _, wrong, _ in results] == [[]] * 4
    assert all(seen == sorted(seen) for _, _, seen in results)
    assert all(count > 20 for count, _, _ in results)
    assert server.process.returncode == 0


def test_labels_move_while_it_serves(tmp_path: Path) -> None:
    models = tmp_path / "models"
    for version in (1, 2):
        save_version(models, "m", version)
    manifest = models / "m" / "model.yaml"
    manifest.write_text("version_policy: all\nlabels: {stable: 1}\n")
    with Live([models], *QUICK, folder=tmp_path) as server:

        def stable() -> object:
            path = "/v2/models/m/versions/stable/infer"
            reply = server.ask("POST", path, {"inputs": [text_input("a")]})
            return reply.json()["outputs"][0]["data"] if reply.status == 200 else reply.error

        eventually(lambda: stable() == ["a-v1"])
        manifest.write_text("version_policy: all\nlabels: {stable: 2}\n")
        eventually(lambda: stable() == ["a-v2"])


def test_explicit_control_over_http(tmp_path: Path) -> None:
    models = tmp_path / "models"
    for name in ("a", "b"):
        save_version(models, name, 1)
    arguments = ["--model-control", "explicit", *AT_ONCE]
    with Live([models], *arguments, folder=tmp_path) as server:
        assert names(server) == []
        for name in ("a", "b"):
            assert server.ask("POST", f"/v2/repository/models/{name}/load").status == 200
        assert names(server) == ["a", "b"]
        save_version(models, "a", 2)
        assert server.text_answer("a", "x") == ["x-v1"]
        assert server.ask("POST", "/v2/repository/models/a/load").status == 200
        assert server.text_answer("a", "x") == ["x-v2"]
        assert server.ask("POST", "/v2/repository/models/a/unload").status == 200
        assert names(server) == ["b"]


def test_no_control_loads_once(tmp_path: Path) -> None:
    models = tmp_path / "models"
    save_version(models, "m", 1)
    with Live([models], "--model-control", "none", *AT_ONCE, folder=tmp_path) as server:
        assert server.text_answer("m", "a") == ["a-v1"]
        reply = server.ask("POST", "/v2/repository/models/m/load")
        assert (reply.status, "not allowed" in reply.error) == (503, True)


def test_settings_from_the_file_and_flags_over_it(tmp_path: Path) -> None:
    save_scale(tmp_path / "scale.onnx", 2.0)
    (tmp_path / "penstock.yaml").write_text("server_name: from-file\nwatch:\n  settle_s: 0\n")
    with Live(["scale.onnx"], folder=tmp_path) as server:
        assert server.ask("GET", "/v2").json()["name"] == "from-file"
    with Live(["scale.onnx"], "--set", "server_name=flag", folder=tmp_path) as server:
        assert server.ask("GET", "/v2").json()["name"] == "flag"


def test_ctrl_c_is_clean_and_the_banner_says_what_to_do(tmp_path: Path) -> None:
    save_scale(tmp_path / "scale.onnx", 2.0)
    with Live(["scale.onnx"], *AT_ONCE, folder=tmp_path) as server:
        eventually(lambda: "curl -s" in server.log_text())
        server.send_signal(signal.SIGINT)
        assert server.wait() == 0
    log = server.log_text()
    assert "Traceback" not in log
    assert f"curl -s {server.url}/v2/models/scale/infer -d " in log


def failed_start(*paths: str, folder: Path) -> tuple[int, list[str]]:
    """The exit code and the lines of a server that cannot start."""
    command = [PENSTOCK, "serve", *paths, "--http-port", "0", "--grpc-port", "0"]
    command += ["--set", f"model_cache.path={folder / 'cache'}", "--set", "remote.attempts=1"]
    run = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        env=clean_environ() | {"HF_ENDPOINT": "http://127.0.0.1:1"},
    )
    return run.returncode, (run.stdout + run.stderr).splitlines()


def test_a_start_that_fails_says_why_and_nothing_else(tmp_path: Path) -> None:
    save_scale(tmp_path / "scale.onnx", 2.0)
    missing = failed_start("nowhere", "hf://owner/name", folder=tmp_path)
    assert missing == (2, ["penstock: nowhere: no such file or folder"])
    code, lines = failed_start("scale.onnx", "hf://owner/name", folder=tmp_path)
    assert (code, lines[-1].startswith("penstock: hf://owner/name: the hub at 127.0.0.1:1 ")) == (
        1,
        True,
    )
    assert "cannot be reached (connection refused): check HF_ENDPOINT, " in lines[-1]
    assert not any("draining" in line for line in lines)


def test_a_broken_manifest_is_logged_once_and_as_its_models(tmp_path: Path) -> None:
    save_version(tmp_path / "models", "m", 1)
    (tmp_path / "models" / "m" / "model.yaml").write_text("runtme: python\n")
    server = Live(["models"], *AT_ONCE, folder=tmp_path)  # it never gets ready
    try:
        eventually(lambda: "REST http" in server.log_text())
        log = server.log_text()
    finally:
        server.stop()
    assert log.count("unknown field") == 1
    assert "model 'm': models/m/model.yaml: $.runtme: unknown field, did you mean 'run" in log
    assert "failed: model 'm'; the log says why" in log
    assert "version 0" not in log


def test_the_banner_is_not_wrapped_in_a_file(tmp_path: Path) -> None:
    name = "a-model-whose-name-is-so-long-that-it-fills-the-eighty-columns-of-a-terminal-alone"
    save_simple(tmp_path / "models" / name / "1" / "model.onnx")
    with Live(["models"], *AT_ONCE, folder=tmp_path) as server:
        eventually(lambda: "REST http" in server.log_text())
        lines = server.log_text().splitlines()
    (row,) = [line for line in lines if line.startswith(name)]
    assert row.split()[1:3] == ["1", "onnx"]
    assert row.endswith("OUTPUT0 INT32[-1, 16], OUTPUT1 INT32[-1, 16]")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> object:
    folder = tmp_path_factory.mktemp("shared")
    save_simple(folder / "models" / "simple" / "1" / "model.onnx")
    save_python(folder / "models" / "echo" / "1" / "model.py", PYTHON_MODELS["echo_any"])
    with Live(["models"], *AT_ONCE, folder=folder) as server:
        yield server


def test_both_protocols_answer_the_same(shared: Live) -> None:
    array = np.arange(16, dtype=np.int32)
    with grpc.insecure_channel(shared.grpc_address) as channel:
        stub = pb_grpc.GRPCInferenceServiceStub(channel)
        request = pb.ModelInferRequest(model_name="simple", id="1")
        for name in ("INPUT0", "INPUT1"):
            value = request.inputs.add(name=name, datatype="INT32", shape=[1, 16])
            value.contents.int_contents.extend(array.tolist())
        over_grpc = stub.ModelInfer(request, timeout=10)
        metadata = stub.ModelMetadata(pb.ModelMetadataRequest(name="simple"), timeout=10)
        stats = stub.ModelStatistics(pb.ModelStatisticsRequest(name="simple"), timeout=10)
    inputs = [tensor(n, "INT32", [1, 16], array.tolist()) for n in ("INPUT0", "INPUT1")]
    over_rest = shared.infer("simple", *inputs, id="1").json()
    assert over_rest["id"] == over_grpc.id == "1"
    for one, other, raw in zip(
        over_rest["outputs"], over_grpc.outputs, over_grpc.raw_output_contents, strict=True
    ):
        assert (one["name"], one["shape"]) == (other.name, list(other.shape))
        assert one["data"] == np.frombuffer(raw, np.int32).tolist()
    described = shared.ask("GET", "/v2/models/simple").json()
    assert [i["name"] for i in described["inputs"]] == [i.name for i in metadata.inputs]
    assert stats.model_stats[0].inference_count >= 1


def test_the_docs_page_has_all_it_needs(shared: Live) -> None:
    page = shared.ask("GET", "/docs")
    assert page.headers["content-type"].startswith("text/html")
    text = page.body.decode()
    assert "https://" not in text
    for asset, kind in (("swagger-ui.css", "text/css"), ("swagger-ui-bundle.js", "javascript")):
        assert f"/docs/{asset}" in text
        reply = shared.ask("GET", f"/docs/{asset}")
        assert reply.status == 200
        assert kind in reply.headers["content-type"]
        assert len(reply.body) > 10_000
    assert shared.ask("GET", "/docs/..%2Fsecret").status == 404
    document = shared.ask("GET", "/openapi.json").json()
    assert {"/v2/models/simple/infer", "/v2/models/echo/infer"} <= set(document["paths"])


def test_metrics_parse_and_count(shared: Live) -> None:
    def answered() -> float:
        return shared.metric("penstock_requests_total", model="echo", outcome="ok")

    before = answered()
    assert shared.text_answer("echo", "a") == ["a"]
    assert answered() == before + 1
    page = shared.ask("GET", "/metrics")
    families = {f.name: f for f in text_string_to_metric_families(page.body.decode())}
    assert {"penstock_requests", "penstock_queue_requests"} <= set(families)
    assert all(family.documentation for family in families.values())


async def test_many_connections_at_once(shared: Live) -> None:
    def ask(number: int) -> object:
        return shared.text_answer("echo", str(number))

    answers = await asyncio.gather(*(asyncio.to_thread(ask, n) for n in range(100)))
    assert answers == [[str(n)] for n in range(100)]
