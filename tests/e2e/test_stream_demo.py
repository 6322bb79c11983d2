"""``make demo-stream``: a runner is killed on the way, and each tweet has one effect."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.stores.redis_server import require_binary

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(320)]


def test_the_demo_ends_as_it_should() -> None:
    require_binary()
    run = subprocess.run(
        [sys.executable, "-m", "examples.streams.demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "consumer: 2994 answers" in run.stdout
    assert "dead letters: 6" in run.stdout
    assert run.stdout.endswith("each tweet has one effect\n")
