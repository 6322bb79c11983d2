"""Where signatures are required: what is refused, and what an unsigned model.yaml may say."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.core.errors import LoadFailed
from penstock.repository.artifact import ArtifactRef, BadArtifact, StoredModel
from penstock.repository.filesystem_source import FileSystemSource
from penstock.repository.package_options import PackageIntake, PackageOptions
from tests.unit.repository.fake_disk import fill, why, write
from tests.unit.repository.packed import save_keys, save_package


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return save_keys(tmp_path)[0]


def scan(path: str, key: Path) -> list[StoredModel]:
    options = PackageOptions((key.with_suffix(".pub.pem"),), require_signed=True)
    return FileSystemSource([path], packages=PackageIntake(Path("cache"), options)).scan()


def test_a_signed_package_serves_beside_a_folder_that_does_not(key: Path) -> None:
    fill(Path(), "models/fraud/2/model.onnx", "models/other/model.onnx")
    save_package(Path("models/fraud/3.pst"), sign_key=key)
    fraud, other = scan("models", key)
    bad, good = fraud.versions
    assert isinstance(good, ArtifactRef)
    assert isinstance(bad, BadArtifact)
    root = Path("models/fraud/2").absolute()
    assert isinstance(bad.error, LoadFailed)
    assert bad.error.message == (
        f"'fraud' version 2: the folder {root} is no signed package, and packages.require_signed "
        "accepts nothing else: pack it with 'penstock pack DIR --sign-key KEY' and serve the "
        "package"
    )
    assert "'other' version 1: the folder" in why([other])


def test_a_single_file_is_refused_by_name(key: Path) -> None:
    fill(Path(), "fraud.onnx")
    models = scan("fraud.onnx", key)
    assert f"'fraud' version 1: the file {Path('fraud.onnx').absolute()} is no" in why(models)


def test_a_package_that_is_not_signed_is_refused_as_ever(key: Path) -> None:
    save_package(Path("models/fraud/3.pst"))
    assert "not signed" in why(scan("models", key))


@pytest.mark.parametrize(
    ("yaml", "name"),
    [
        ("runtime: python", "runtime"),
        ("entry: words/a.txt", "entry"),
        ("runtime_options: {trust_pickle: true}", "runtime_options"),
        ("instances: {kind: process, python: /tmp/venv}", "instances.python"),
        ("instances: {kind: process, env: {PYTHONPATH: /tmp}}", "instances.env"),
        ("warmup: [{file: x.json}]", "warmup"),
    ],
)
def test_an_unsigned_model_yaml_says_nothing_of_what_runs(key: Path, yaml: str, name: str) -> None:
    save_package(Path("models/fraud/3.pst"), sign_key=key)
    write(Path("models/fraud/model.yaml"), yaml)
    assert f"model.yaml: '{name}': packages.require_signed is on" in why(scan("models", key))


def test_an_unsigned_model_yaml_may_say_how_it_is_served(key: Path) -> None:
    save_package(Path("models/fraud/3.pst"), sign_key=key)
    text = "{max_batch_size: 8, queue: {max_requests: 7}, labels: {a: 3}, instances: {count: 2}}"
    write(Path("models/fraud/model.yaml"), text)
    (found,) = scan("models", key)[0].versions
    assert isinstance(found, ArtifactRef)
    assert (found.manifest.max_batch_size, found.manifest.instances.count) == (8, 2)
