"""SIGTERM to every process of a server at once, as systemd sends it: what is asked is answered."""

from __future__ import annotations

import contextlib
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.interop.live import AT_ONCE, Live, eventually, seconds_input
from tests.interop.models import PYTHON_MODELS, save_python

pytestmark = [pytest.mark.fault, pytest.mark.timeout(60)]


@pytest.mark.parametrize("kind", ["thread", "process"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_signal_to_all_kills_no_request(tmp_path: Path, workers: int, kind: str) -> None:
    root = tmp_path / "models"
    save_python(root / "slow" / "1" / "model.py", PYTHON_MODELS["slow"])
    (root / "slow" / "model.yaml").write_text(f"instances: {{kind: {kind}}}\n")
    arguments = ("--workers", str(workers), "--set", "grpc.enabled=false", *AT_ONCE)
    with Live([root], *arguments, folder=tmp_path) as server, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(server.infer, "slow", seconds_input(1.5))
        eventually(lambda: server.metric("penstock_instances_busy", model="slow") == 1)
        family = psutil.Process(server.process.pid).children(recursive=True)
        for process in family:  # first: the supervisor's own signal comes on top
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGTERM)
        server.send_signal(signal.SIGTERM)
        assert asked.result(20).status == 200
        assert server.wait() == 0
    log = server.log_text()
    assert "Traceback" not in log
    assert "while it drained" not in log
