"""What of a folder goes into its package."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock.core.errors import ConfigError
from penstock.core.ids import ServableId
from penstock.repository.package_folder import look_at_version
from tests.unit.repository.fake_disk import fill, write


def test_a_versions_folder_tells_name_and_version_and_brings_its_models_yaml(
    tmp_path: Path,
) -> None:
    fill(tmp_path, "fraud/3/model.onnx", "fraud/3/words/a.txt", "fraud/2/model.onnx")
    write(tmp_path / "fraud/model.yaml", "max_batch_size: 8\nwarmup: [{file: one.json}]")
    write(tmp_path / "fraud/one.json", "{}")
    packed = look_at_version(tmp_path / "fraud/3")
    assert packed.id == ServableId("fraud", 3)
    assert sorted(packed.sources) == ["model.onnx", "model.yaml", "one.json", "words/a.txt"]
    assert packed.sources["model.yaml"] == tmp_path / "fraud/model.yaml"
    assert packed.manifest.max_batch_size == 8
    assert (packed.artifact.path, packed.artifact.runtime) == ("model.onnx", "onnx")


def test_any_other_folder_is_version_1_of_its_name(tmp_path: Path) -> None:
    fill(tmp_path, "my churn/app.py")
    write(tmp_path / "my churn/model.yaml", "entry: app.py:Churn")
    packed = look_at_version(tmp_path / "my churn")
    assert packed.id == ServableId("my-churn", 1)
    assert packed.artifact.class_name == "Churn"
    assert sorted(packed.sources) == ["app.py", "model.yaml"]


def test_a_dot_is_a_folder_with_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "fraud/4/model.onnx")
    monkeypatch.chdir(tmp_path / "fraud/4")
    assert look_at_version(Path()).id == ServableId("fraud", 4)


def test_hidden_files_and_bytecode_stay_out(tmp_path: Path) -> None:
    fill(tmp_path, "m/model.py", "m/.secret", "m/__pycache__/a.pyc", "m/x~", "m/.git/config")
    assert list(look_at_version(tmp_path / "m").sources) == ["model.py"]


def test_links_are_followed_and_broken_ones_refused(tmp_path: Path) -> None:
    fill(tmp_path, "blobs/abc", "m/other.txt")
    (tmp_path / "m/model.onnx").symlink_to("../blobs/abc")
    assert sorted(look_at_version(tmp_path / "m").sources) == ["model.onnx", "other.txt"]
    (tmp_path / "m/gone").symlink_to("nowhere")
    with pytest.raises(ConfigError, match="'gone' is a broken link"):
        look_at_version(tmp_path / "m")


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, "m/model.onnx")
    os.mkfifo(tmp_path / "m/pipe")
    with pytest.raises(ConfigError, match="'pipe' is no regular file"):
        look_at_version(tmp_path / "m")


@pytest.mark.parametrize(
    ("files", "folder", "why"),
    [
        ((), "none", "No such file"),
        (("fraud/1/model.onnx", "fraud/2/model.onnx"), "fraud", "such as .*fraud/2"),
        (("m/readme.md",), "m", "no artifact"),
        (("m/a.onnx", "m/b.onnx"), "m", "name one in 'entry'"),
        (("fraud/1/model.onnx", "fraud/1/model.yaml", "fraud/model.yaml"), "fraud/1", "beside"),
        (("m/model.onnx", "m/model.yaml"), "m", "expected a mapping"),
    ],
)
def test_what_cannot_be_served_is_not_packed(
    tmp_path: Path, files: tuple[str, ...], folder: str, why: str
) -> None:
    fill(tmp_path, *files)
    with pytest.raises(ConfigError, match=why):
        look_at_version(tmp_path / folder)
