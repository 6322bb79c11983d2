"""A live server whose models are in a bucket and on the web, and what breaks between them."""

from __future__ import annotations

import hashlib
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.interop.live import AT_ONCE, Live, eventually, run_cli
from tests.interop.models import save_version
from tests.unit.repository.remote.conftest import web
from tests.unit.repository.remote.file_server import FileServer, Served

__all__ = ["web"]

pytestmark = pytest.mark.fault


def upload(bucket: Any, folder: Path, place: str) -> None:
    """Put every file of a folder into the bucket."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            bucket.pipe(f"{place}/{path.relative_to(folder).as_posix()}", path.read_bytes())


def settings(folder: Path, *more: str) -> list[str]:
    """What makes a server quick and keeps its cache in the folder."""
    told = {
        "model_cache.path": str(folder / "cache"),
        "packages.cache": str(folder / "packages"),
        "watch.poll_interval_s": "0.1",
        "watch.settle_s": "0.1",
        "remote.initial_backoff_s": "0.01",
        "remote.attempts": "2",
    }
    return [part for pair in told.items() for part in ("--set", "=".join(pair))] + list(more)


def state_of(live: Live, version: str) -> str:
    """What the index tells of a version of ``m``; "": nothing."""
    index = live.ask("POST", "/v2/repository/index", {}).json()
    return next((entry["state"] for entry in index if entry.get("version") == version), "")


@pytest.fixture
def place(bucket: Any, tmp_path: Path) -> str:
    """An address with a repository of one model, ``m``, of one version."""
    save_version(tmp_path / "models", "m", 1, "-one")
    upload(bucket, tmp_path / "models", f"{bucket.name}/models")
    return f"{bucket.name}/models"


@pytest.mark.parametrize("path", ["", "/m"])
def test_a_bucket_is_served_and_followed(
    bucket: Any, place: str, path: str, tmp_path: Path
) -> None:
    with Live([f"s3://{place}{path}"], *settings(tmp_path), folder=tmp_path) as live:
        assert live.text_answer("m", "hi") == ["hi-v1-one"]
        save_version(tmp_path / "next", "m", 2, "-two")
        upload(bucket, tmp_path / "next", place)
        eventually(lambda: live.text_answer("m", "hi") == ["hi-v2-two"])
        live.stop()
        assert live.process.returncode == 0, live.log_text()


def test_a_version_that_is_no_model_leaves_the_one_that_serves(
    bucket: Any, place: str, tmp_path: Path
) -> None:
    with Live([f"s3://{place}"], *settings(tmp_path), folder=tmp_path) as live:
        bucket.pipe(f"{place}/m/2/model.py", b"this is no Python")
        eventually(lambda: state_of(live, "2") == "UNAVAILABLE")
        assert live.text_answer("m", "hi") == ["hi-v1-one"]


def test_killed_and_started_again_without_the_store(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Live([f"s3://{place}"], *settings(tmp_path), folder=tmp_path) as live:
        live.send_signal(signal.SIGKILL)
        live.wait()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with Live([f"s3://{place}"], *settings(tmp_path), folder=tmp_path) as live:
        assert live.text_answer("m", "hi") == ["hi-v1-one"]
        assert "serving what was kept of it" in live.log_text()
    assert len(list((tmp_path / "cache" / "runs").iterdir())) == 1


def test_explicit_control_loads_what_is_in_the_bucket(
    bucket: Any, place: str, tmp_path: Path
) -> None:
    explicit = settings(tmp_path, "--model-control", "explicit")
    with Live([f"s3://{place}"], *explicit, folder=tmp_path) as live:
        assert live.ask("POST", "/v2/repository/models/m/load", {}).status == 200
        assert live.text_answer("m", "hi") == ["hi-v1-one"]
        save_version(tmp_path / "next", "n", 1, "-new")
        upload(bucket, tmp_path / "next", place)
        assert live.ask("POST", "/v2/repository/models/n/load", {}).status == 200
        assert live.text_answer("n", "hi") == ["hi-v1-new"]


def test_a_store_that_stalls_keeps_the_server_alive_unready_and_able_to_stop(
    web: FileServer, tmp_path: Path
) -> None:
    web.files["/m.py"] = Served(b"stalled", stall=threading.Event())
    url = f"{web.url}/m.py#sha256={'0' * 64}"
    live = Live([url], *settings(tmp_path), folder=tmp_path)
    try:
        live.wait_answers()
        eventually(lambda: web.asked)
        assert live.ask("GET", "/readyz").status == 503
        live.send_signal(signal.SIGTERM)
        assert live.wait(10) == 0, live.log_text()
    finally:
        live.stop()


def test_a_package_from_the_web(web: FileServer, tmp_path: Path) -> None:
    save_version(tmp_path / "models", "m", 7, "-packed")
    package = tmp_path / "any-name.pst"
    made = run_cli("pack", tmp_path / "models/m/7", "-o", package, "--name", "m", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    content = package.read_bytes()
    web.files["/any-name.pst"] = Served(content, breaks=1, breaks_after=100)
    url = f"{web.url}/any-name.pst#sha256={hashlib.sha256(content).hexdigest()}"
    with Live([url], *settings(tmp_path), folder=tmp_path) as live:
        assert live.text_answer("m", "hi") == ["hi-v7-packed"]
        assert live.ask("GET", "/v2/models/m/versions/7/ready").status == 200
    assert web.ranges("/any-name.pst") == ["", "bytes=100-"]


def test_a_package_that_is_none(web: FileServer, tmp_path: Path) -> None:
    web.files["/m.pst"] = Served(b"no package")
    url = f"{web.url}/m.pst#sha256={hashlib.sha256(b'no package').hexdigest()}"
    done = run_cli("serve", url, *settings(tmp_path), cwd=tmp_path)
    assert done.returncode != 0
    assert f"{web.url}/m.pst" in done.stderr


@pytest.mark.parametrize("served", [Served(statuses=[403] * 9), Served(b"other"), None])
def test_a_start_that_cannot_be_says_why_in_one_line(
    web: FileServer, served: Served | None, tmp_path: Path
) -> None:
    if served is not None:
        web.files["/m.py?sig=SECRET"] = served
    url = f"{web.url}/m.py?sig=SECRET#sha256={'0' * 64}"
    done = run_cli("serve", url, *AT_ONCE, *settings(tmp_path), cwd=tmp_path)
    assert done.returncode != 0
    assert f"{web.url}/m.py: " in done.stderr
    assert "Traceback" not in done.stderr
    assert "SECRET" not in done.stderr
