"""Packages in a running server: dropped in, replaced, loaded by request."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.live import AT_ONCE, PENSTOCK, Live, clean_environ, eventually, run_cli
from tests.interop.models import save_version

ROOT = Path(__file__).parents[2]


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """Three versions of the model ``m``, each packed with the command line."""
    for version in (1, 2, 3):
        save_version(tmp_path / "source", "m", version)
        folder = tmp_path / f"source/m/{version}"
        ran = run_cli("pack", folder, "-o", f"{version}.pst", cwd=tmp_path)
        assert ran.returncode == 0, ran.stderr
    return tmp_path


def drop(package: Path, folder: Path) -> None:
    """Copy under a name that is skipped, then rename."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = shutil.copy(package, folder / f"{package.name}.tmp")
    Path(partial).rename(folder / package.name)


def test_a_package_that_is_dropped_in_takes_over(packages: Path) -> None:
    models = packages / "models"
    drop(packages / "1.pst", models / "m")
    cache = ("--set", f"packages.cache={packages / 'cache'}")
    with Live([models], *AT_ONCE, *cache, folder=packages) as server:
        assert server.text_answer("m", "a") == ["a-v1"]
        drop(packages / "2.pst", models / "m")
        assert eventually(lambda: server.text_answer("m", "a") == ["a-v2"])
        whole = (packages / "3.pst").read_bytes()
        (packages / "3.pst").write_bytes(whole[:-1])
        drop(packages / "3.pst", models / "m")
        eventually(lambda: "truncated" in server.log_text())
        (models / "m/2.pst").unlink()
        (packages / "3.pst").write_bytes(whole)
        drop(packages / "3.pst", models / "m")
        assert eventually(lambda: server.text_answer("m", "a") == ["a-v3"])


def test_every_command_of_the_users_page_runs(tmp_path: Path) -> None:
    """All but those that serve, in their order; then its Python."""
    shutil.copytree(ROOT / "models/digits", tmp_path / "models/digits")
    page = (ROOT / "docs/packages.md").read_text()
    shell, python = (
        re.findall(rf"^```{kind}\n(.*?)^```", page, re.S | re.M) for kind in ("", "python")
    )
    lines = "".join(shell).replace("$ ", "").splitlines()
    ran = [line for line in lines if line.startswith(("penstock pack", "penstock ins", "openssl"))]
    assert len(ran) == 7
    for line in (*ran, f"{sys.executable} -c '{python[0]}'"):
        command = line.replace("penstock ", f"{PENSTOCK} ", 1) if line in ran else line
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env=clean_environ(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (line, done.stderr)
    assert (tmp_path / "digits-2.pst").is_file()
    assert list(tmp_path.glob("cache/*/model.onnx"))


def test_a_package_is_loaded_by_request(packages: Path) -> None:
    models = packages / "models"
    drop(packages / "1.pst", models / "m")
    options = ("--model-control", "explicit", "--set", f"packages.cache={packages / 'cache'}")
    with Live([models], *AT_ONCE, *options, folder=packages) as server:
        loaded = run_cli("models", "load", "m", "--url", server.url, cwd=packages)
        assert loaded.returncode == 0, loaded.stderr
        assert server.text_answer("m", "a") == ["a-v1"]
