"""``models:/`` against MLflow's own client and a registry of files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.core.errors import LoadFailed
from tests.unit.repository.remote.bringing import Bringer, contents

pytest.importorskip("mlflow")


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of a registry with two versions of ``churn``."""
    import mlflow

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(str(tmp_path / "mlruns"))
    client = mlflow.MlflowClient()
    client.create_registered_model("churn")
    for number in (1, 2):
        folder = tmp_path / f"artifacts-{number}"
        (folder / "data").mkdir(parents=True)
        (folder / "MLmodel").write_text(f"version {number}")
        (folder / "data" / "model.bin").write_bytes(b"w" * number)
        client.create_model_version("churn", source=folder.as_uri())
    yield client
    mlflow.set_tracking_uri("")


def test_an_alias_is_followed_and_a_version_stays(registry: Any, tmp_path: Path) -> None:
    bringer = Bringer(tmp_path / "cache")
    registry.set_registered_model_alias("churn", "champion", 1)
    mirror, root = bringer.mirror("models:/churn@champion")
    mirror.look()
    first = {"churn/1/MLmodel": b"version 1", "churn/1/data/model.bin": b"w"}
    assert contents(root) == first
    registry.set_registered_model_alias("churn", "champion", 2)
    mirror.look()
    assert contents(root) == {"churn/2/MLmodel": b"version 2", "churn/2/data/model.bin": b"ww"}
    assert bringer.bring("models:/churn/1") == first


@pytest.mark.parametrize("url", ["models:/churn@nobody", "models:/churn/9", "models:/none/1"])
def test_no_such_thing(registry: Any, tmp_path: Path, url: str) -> None:
    with pytest.raises(LoadFailed, match=f"{url}: the registry has no such"):
        Bringer(tmp_path / "cache").bring(url)
