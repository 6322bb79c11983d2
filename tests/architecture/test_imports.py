"""Imports go down only, and the request path stays free of what is slow to import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT_IMPORTS = Path(sys.executable).parent / "lint-imports"

PLANTED = """
[tool.importlinter]
root_package = "planted"
[[tool.importlinter.contracts]]
name = "down only"
type = "layers"
containers = ["planted"]
layers = ["app", "core"]
exhaustive = true
"""


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the contracts of the pyproject.toml in a folder."""
    command = [str(LINT_IMPORTS), "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=50)


def _plant(folder: Path, core: str) -> None:
    (folder / "pyproject.toml").write_text(PLANTED)
    for name, text in {"app": "from planted import core\n", "core": core}.items():
        (folder / "planted" / name).mkdir(parents=True)
        (folder / "planted" / name / "__init__.py").write_text(text)
    (folder / "planted" / "__init__.py").write_text("")


def test_the_contracts_hold() -> None:
    run = _lint(ROOT)
    assert run.returncode == 0, run.stdout
    assert "0 broken" in run.stdout


def test_imports_that_go_down_pass(tmp_path: Path) -> None:
    _plant(tmp_path, core="")
    assert _lint(tmp_path).returncode == 0


def test_an_import_that_goes_up_is_refused(tmp_path: Path) -> None:
    _plant(tmp_path, core="import planted.app\n")
    run = _lint(tmp_path)
    assert run.returncode == 1
    assert "planted.core is not allowed to import planted.app" in run.stdout


def test_a_folder_on_no_floor_is_refused(tmp_path: Path) -> None:
    _plant(tmp_path, core="")
    (tmp_path / "planted" / "attic.py").write_text("")
    assert _lint(tmp_path).returncode == 1


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        (
            "penstock.server.http",
            "grpc typer yaml rich prometheus_client watchfiles opentelemetry pydantic onnxruntime "
            "psutil tenacity",
        ),
        ("penstock.app.serve", "grpc typer rich prometheus_client opentelemetry pydantic"),
        ("penstock", "grpc typer yaml rich uvicorn asyncio onnxruntime pydantic"),
    ],
)
def test_slow_libraries_wait_until_they_are_needed(module: str, absent: str) -> None:
    """Start-up and every import pay for what they use; see docs/decisions/0002."""
    code = f"import sys, {module}; print(*(set({absent.split()}) & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == []
