"""The examples in ``docs/runtimes.md`` are whole programs, and what they assert is true."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_PART = re.compile(r"^## (.+?)\n(.*?)(?=^## |\Z)", re.DOTALL | re.MULTILINE)
_PYTHON = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
_FRAMEWORK = re.compile(r"^(?:import|from) (\w+)", re.MULTILINE)


def examples() -> list[tuple[str, str]]:
    """The heading and the code of each example of the page."""
    page = (ROOT / "docs/runtimes.md").read_text()
    return [
        (heading, code) for heading, part in _PART.findall(page) for code in _PYTHON.findall(part)
    ]


def test_each_of_these_has_an_example() -> None:
    tables = {"scikit-learn", "XGBoost", "LightGBM", "CatBoost"}
    tensors = {"PyTorch", "OpenVINO", "TensorFlow"}
    assert tables | tensors <= {heading for heading, _ in examples()}


@pytest.mark.parametrize(("heading", "code"), examples())
def test_an_example_does_what_it_says(heading: str, code: str, tmp_path: Path) -> None:
    for name in _FRAMEWORK.findall(code):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    ran = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:penstock", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, ""), f"{heading}: {ran.stderr}"
