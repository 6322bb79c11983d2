"""Models of an MLflow registry, against a double of its client.

The real client and a real registry: ``tests/frameworks/test_mlflow_registry.py``.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from penstock.core.errors import ConfigError, LoadFailed

from .bringing import Bringer, contents


class MlflowException(Exception):
    def __init__(self, status: int) -> None:
        super().__init__("https://user:SECRET@registry")
        self._status = status

    def get_http_status_code(self) -> int:
        return self._status


class FileInfo(NamedTuple):
    path: str
    is_dir: bool
    file_size: int | None


class FakeRegistry:
    """The part of MLflow's client that is used; versions are folders of a disk."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.aliases: dict[str, int] = {}
        self.status = 0

    def publish(self, version: int, **files: str) -> None:
        for name, text in files.items():
            path = self._root / str(version) / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def get_model_version_by_alias(self, name: str, alias: str) -> Any:
        if self.status or alias not in self.aliases:
            raise MlflowException(self.status or 400)
        return types.SimpleNamespace(version=self.aliases[alias])

    def get_model_version_download_uri(self, name: str, version: str) -> str:
        if not (self._root / version).is_dir():
            raise MlflowException(404)
        return str(self._root / version)

    def list_artifacts(self, artifact_uri: str) -> list[FileInfo]:
        folder = Path(artifact_uri)
        return [
            FileInfo(
                f"{folder.name}/{p.name}", p.is_dir(), None if p.is_dir() else len(p.read_bytes())
            )
            for p in folder.iterdir()
        ]

    def download_artifacts(self, artifact_uri: str, dst_path: str) -> str:
        return artifact_uri


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeRegistry:
    fake = FakeRegistry(tmp_path / "registry")
    module, artifacts, exceptions = (
        types.ModuleType(name) for name in ("mlflow", "mlflow.artifacts", "mlflow.exceptions")
    )
    artifacts.list_artifacts = fake.list_artifacts  # type: ignore[attr-defined]
    artifacts.download_artifacts = fake.download_artifacts  # type: ignore[attr-defined]
    exceptions.MlflowException = MlflowException  # type: ignore[attr-defined]
    module.artifacts, module.exceptions = artifacts, exceptions  # type: ignore[attr-defined]
    module.MlflowClient = lambda: fake  # type: ignore[attr-defined]
    for one in (module, artifacts, exceptions):
        monkeypatch.setitem(sys.modules, one.__name__, one)
    return fake


def test_a_version_comes_under_its_number(registry: FakeRegistry, bringer: Bringer) -> None:
    registry.publish(3, MLmodel="flavors", data__model="weights")
    assert bringer.bring("models:/churn/3") == {
        "churn/3/MLmodel": b"flavors",
        "churn/3/data/model": b"weights",
    }


def test_where_the_alias_moves_we_follow(registry: FakeRegistry, bringer: Bringer) -> None:
    registry.publish(3, MLmodel="three")
    registry.publish(4, MLmodel="four")
    registry.aliases["champion"] = 3
    mirror, root = bringer.mirror("models:/churn@champion")
    assert mirror.look() == (False, True)
    registry.aliases["champion"] = 4
    assert mirror.look() == (False, True)
    assert contents(root) == {"churn/4/MLmodel": b"four"}


def test_the_old_version_stays_while_the_new_one_cannot_be_read(
    registry: FakeRegistry, bringer: Bringer, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.publish(3, MLmodel="three")
    registry.publish(4, MLmodel="four")
    registry.aliases["champion"] = 3
    mirror, root = bringer.mirror("models:/churn@champion")
    mirror.look()
    registry.aliases["champion"] = 4

    def refuse(**_: Any) -> str:
        raise MlflowException(403)

    monkeypatch.setattr(
        sys.modules["mlflow.artifacts"], "download_artifacts", lambda *a, **k: refuse()
    )
    assert mirror.look() == (False, False)
    assert contents(root) == {"churn/3/MLmodel": b"three"}
    (failure,) = mirror.failures
    assert failure.unit.version == 4


@pytest.mark.parametrize("url", ["models:/churn@nobody", "models:/churn/9"])
def test_no_such_thing(registry: FakeRegistry, bringer: Bringer, url: str) -> None:
    with pytest.raises(LoadFailed, match=f"{url}: the registry has no such") as caught:
        bringer.bring(url)
    assert "SECRET" not in caught.value.message


def test_a_registry_that_is_busy_is_asked_again(registry: FakeRegistry, bringer: Bringer) -> None:
    registry.status = 503
    with pytest.raises(LoadFailed, match="cannot be fetched: status 503") as caught:
        bringer.bring("models:/churn@champion")
    assert caught.value.retryable
    assert "SECRET" not in caught.value.message


def test_a_missing_package(bringer: Bringer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ConfigError, match=r"pip install 'penstock\[mlflow\]'"):
        bringer.bring("models:/churn/1")
