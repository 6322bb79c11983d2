"""``make demo``: a server of its own, asked over REST and gRPC."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "examples" / "digits" / "demo.py"


@pytest.fixture(scope="module")
def output() -> str:
    run = subprocess.run(
        [sys.executable, str(DEMO)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_accuracies_over_both_protocols(output: str) -> None:
    found = re.findall(r"^(REST|gRPC) (stable|canary): accuracy ([\d.]+) on 360", output, re.M)
    accuracies = {(door, version): float(value) for door, version, value in found}
    assert len(accuracies) == 4
    for version in ("stable", "canary"):
        assert accuracies["REST", version] == accuracies["gRPC", version] > 0.8
    assert accuracies["REST", "canary"] > accuracies["REST", "stable"]


def test_pictures_are_read_and_the_blank_one_refused(output: str) -> None:
    for digit in (3, 5, 8):
        assert f"digit-{digit}.png -> {digit}, confidence " in output
    assert "blank.png -> refused: the image is blank: no digit to read" in output
