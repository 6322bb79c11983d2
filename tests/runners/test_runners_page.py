"""The examples in ``docs/runners.md`` are whole programs, and print what stands below them."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys

import pytest

from tests.runners.runner_models import ROOT

_PART = re.compile(r"^## (.+?)\n(.*?)(?=^## |\Z)", re.DOTALL | re.MULTILINE)
_EXAMPLE = re.compile(r"^```python\n(.*?)^```\n(?:\n```\n(.*?)^```)?", re.DOTALL | re.MULTILINE)
_IMPORT = re.compile(r"^(?:import|from) (\w+)", re.MULTILINE)
SETTINGS = {
    "PYSPARK_PYTHON": sys.executable,
    "RAY_ADDRESS": "local",  # not whatever cluster this machine has
    "RAY_USAGE_STATS_ENABLED": "0",
}

pytestmark = pytest.mark.timeout(180)


def examples() -> list[tuple[str, str, str]]:
    """The heading, the code and the output of each example of the page."""
    page = (ROOT / "docs/runners.md").read_text()
    return [
        (heading, code, printed)
        for heading, part in _PART.findall(page)
        for code, printed in _EXAMPLE.findall(part)
    ]


def test_each_of_these_has_an_example() -> None:
    assert [heading for heading, _, _ in examples()] == ["Ray Data", "Spark", "Beam"]


@pytest.mark.parametrize(("heading", "code", "printed"), examples())
def test_an_example_prints_what_it_says(heading: str, code: str, printed: str) -> None:
    for name in _IMPORT.findall(code):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **SETTINGS},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert ran.returncode == 0, f"{heading}: {ran.stderr[-3000:]}"
    if heading == "Beam":
        assert sorted(ran.stdout.splitlines()) == [
            "A GOAL!",
            "{'text': ''} there is nothing to shout",
        ]
    else:
        assert ran.stdout == printed
