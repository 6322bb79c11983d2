"""``make demo-batch``: the archive's tweets are scored by a job that is stopped and run again."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(180)
def test_the_demo_scores_every_tweet(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "examples.batch.demo"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "stopped: the job was stopped: " in run.stdout
    tweets = len((ROOT / "apps/tweet_sentiment/archive/tweets.jsonl").read_text().splitlines())
    assert re.search(rf"rows in +{tweets}\b", run.stdout)
    assert "the most negative" in run.stdout
    (picture,) = tmp_path.glob("penstock-demo-*/scored/_job/report.svg")
    assert picture.read_text().lstrip().startswith("<?xml")
    assert f"the job in a picture: {picture}\n" in run.stdout
    assert "\N{FRAME WITH PICTURE}" not in run.stdout  # how rich shows an image of Markdown
    assert "of earlier runs, added up" in " ".join(run.stdout.split())
