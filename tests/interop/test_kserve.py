"""KServe's own inference clients against a live server."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.live import Live

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(importlib.util.find_spec("kserve") is None, reason="no kserve here"),
]

CHECKS = ("rest_health", "rest_json", "rest_binary", "grpc")


@pytest.fixture(scope="module", params=["server", "grpcio_server"])
def report(request: pytest.FixtureRequest) -> str:
    """What the script printed of each gRPC engine: a line for each check that held."""
    server: Live = request.getfixturevalue(request.param)
    script = Path(__file__).with_name("kserve_script.py")
    done = subprocess.run(
        [sys.executable, script, server.url, server.grpc_address, *CHECKS],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return done.stdout + done.stderr[-3000:]


@pytest.mark.parametrize("check", CHECKS)
def test_kserve(report: str, check: str) -> None:
    assert f"{check} ok" in report, report
