"""``make demo-rollout``: one version is promoted, another one rolled back, and nobody notices."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def test_the_demo_ends_as_it_should() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "examples.rollouts.demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    better, _, broken = run.stdout.partition("a broken one: version 3 in place of 2")
    assert re.findall(r"^ +[\d.]+ s  (.{12}) controller", better, re.M) == [
        f"{step:<12}" for step in ("warm", "shadow", "canary 10 %", "canary 50 %", "bake", "done")
    ]
    assert "rolled back  controller: error_rate" in broken
    assert run.stdout.count("failed by the rollout: 0") == 2
    assert re.search(r"the model's own errors: \d+ by version 3", broken)
