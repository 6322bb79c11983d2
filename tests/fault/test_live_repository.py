"""A repository that breaks under a running server, which answers exactly all the while."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.interop.live import Live, eventually, tensor, text_input
from tests.interop.models import save_scale, save_version

pytestmark = pytest.mark.fault

SETTINGS = (
    *("--set", "watch.settle_s=0.2"),
    *("--set", "watch.poll_interval_s=0.2"),
    *("--set", "lifecycle.load_attempts=1"),
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("live") / "models"
    save_version(root, "m", 1)
    save_scale(root / "scale" / "1" / "model.onnx", 2.0)
    return root


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[Live]:
    with Live([models], *SETTINGS, folder=models.parent) as live:
        eventually(lambda: live.text_answer("m", "a") == ["a-v1"])
        yield live


def scaled(server: Live) -> Any:
    reply = server.infer("scale", tensor("x", "FP32", [1, 4], [1, 2, 3, 4]))
    return reply.json()["outputs"][0]["data"] if reply.status == 200 else reply.error


@pytest.fixture
def steady(server: Live) -> Iterator[Callable[[list[str]], None]]:
    """Asks the model ``m`` all the time; every answer is one of those expected."""
    stop = threading.Event()
    answers: set[str] = set()

    def ask() -> int:
        count = 0
        with server.rest() as rest:
            while not stop.is_set():
                reply = rest.infer("m", text_input("a"))
                answers.add(
                    reply.json()["outputs"][0]["data"][0] if reply.status == 200 else reply.error
                )
                count += 1
        return count

    expected: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(ask) for _ in range(2)]
        yield expected.extend
        stop.set()
        assert sum(future.result() for future in asking) > 10
    assert answers <= set(expected)


def row(server: Live, name: str, version: int) -> dict[str, str]:
    for entry in server.ask("POST", "/v2/repository/index").json():
        if entry["name"] == name and entry.get("version") == str(version):
            return dict(entry)
    return {}


def failed(server: Live, name: str, version: int) -> str:
    """Why a version failed; empty: it has not."""
    entry = row(server, name, version)
    reason = entry.get("reason", "")
    waiting = reason in ("waiting to be loaded", "unloaded")
    return reason if entry.get("state") == "UNAVAILABLE" and not waiting else ""


def test_a_version_copied_in_pieces_serves_when_it_is_whole(
    server: Live, models: Path, steady: Callable[[list[str]], None]
) -> None:
    steady(["a-v1", "a-v2"])
    source = save_version(models.parent / "elsewhere", "m", 2).read_bytes()
    target = models / "m" / "2" / "model.py"
    target.parent.mkdir()
    with target.open("wb", buffering=0) as file:
        file.write(source[:40])
        looked = server.metric("penstock_requests_total", model="m") + 20
        eventually(lambda: server.metric("penstock_requests_total", model="m") > looked)
        assert server.text_answer("m", "a") == ["a-v1"]
        file.write(source[40:])
    eventually(lambda: server.text_answer("m", "a") == ["a-v2"])


def test_a_corrupt_version_fails_and_the_old_one_serves(
    server: Live, models: Path, steady: Callable[[list[str]], None]
) -> None:
    steady(["a-v2"])
    broken = models / "m" / "3" / "model.py"
    broken.parent.mkdir()
    broken.write_text("raise RuntimeError('corrupt')\n")
    assert "corrupt" in eventually(lambda: failed(server, "m", 3))
    assert server.text_answer("m", "a") == ["a-v2"]
    shutil.rmtree(broken.parent)
    eventually(lambda: not row(server, "m", 3))
    eventually(lambda: server.ask("GET", "/readyz").status == 200)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x08\x08\x12\x07"])
def test_a_corrupt_graph_fails_and_the_old_one_serves(
    server: Live, models: Path, content: bytes
) -> None:
    broken = models / "scale" / "2" / "model.onnx"
    broken.parent.mkdir()
    broken.write_bytes(content)
    assert eventually(lambda: failed(server, "scale", 2))
    assert scaled(server) == [2.0, 4.0, 6.0, 8.0]
    whole = save_scale(models.parent / "whole.onnx", 3.0).read_bytes()
    broken.write_bytes(whole)
    eventually(lambda: scaled(server) == [3.0, 6.0, 9.0, 12.0])
    shutil.rmtree(broken.parent)
    eventually(lambda: scaled(server) == [2.0, 4.0, 6.0, 8.0])


def test_a_version_that_vanishes_gives_way_to_the_one_before(
    server: Live, models: Path, steady: Callable[[list[str]], None]
) -> None:
    steady(["a-v2", "a-v4"])
    save_version(models, "m", 4)
    eventually(lambda: server.text_answer("m", "a") == ["a-v4"])
    shutil.rmtree(models / "m" / "4")
    eventually(lambda: server.text_answer("m", "a") == ["a-v2"])


def test_a_version_rewritten_in_place(
    server: Live, models: Path, steady: Callable[[list[str]], None]
) -> None:
    steady(["a-v2", "a-v2-again"])
    save_version(models, "m", 2, suffix="-again")
    eventually(lambda: server.text_answer("m", "a") == ["a-v2-again"])
    save_version(models, "m", 2)
    eventually(lambda: server.text_answer("m", "a") == ["a-v2"])


def test_a_broken_manifest_leaves_what_serves(
    server: Live, models: Path, steady: Callable[[list[str]], None]
) -> None:
    steady(["a-v2"])
    manifest = models / "m" / "model.yaml"
    manifest.write_text("max_batch_size: [")
    save_version(models, "other", 1)  # told later than the manifest, so that was seen by then
    eventually(lambda: server.text_answer("other", "a") == ["a-v1"])
    assert server.text_answer("m", "a") == ["a-v2"]
    manifest.unlink()
    shutil.rmtree(models / "other")
    eventually(lambda: server.infer("other", text_input("a")).status == 404)


def test_a_warm_up_that_fails(server: Live, models: Path) -> None:
    folder = models / "cold"
    save_version(models, "cold", 1)
    (folder / "model.yaml").write_text("warmup:\n  - file: nothing.json\n")
    assert "nothing.json" in eventually(lambda: failed(server, "cold", 1))
    assert server.ask("GET", "/readyz").status == 503
    assert server.ask("GET", "/v2/models/cold/ready").status != 200
    (folder / "model.yaml").write_text("")
    eventually(lambda: server.text_answer("cold", "a") == ["a-v1"])
    eventually(lambda: server.ask("GET", "/readyz").status == 200)
