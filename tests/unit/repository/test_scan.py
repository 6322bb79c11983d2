"""scan(): paths to models, and each thing that can be wrong with them."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from penstock.core.errors import ConfigError, LoadFailed
from penstock.core.ids import ServableId
from penstock.repository.artifact import ArtifactRef, StoredModel
from penstock.repository.filesystem_source import FileSystemSource, WatchOptions
from penstock.repository.manifest import Manifest

from .fake_disk import LONG_AGO_NS, fill, numbers, only, why, write


def scan(*paths: str | os.PathLike[str]) -> list[StoredModel]:
    return FileSystemSource(paths).scan()


def refusal(*paths: str | os.PathLike[str]) -> str:
    with pytest.raises(ConfigError) as caught:
        scan(*paths)
    return caught.value.message


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_one_file_is_version_1_of_a_model_named_by_its_stem(tmp_path: Path) -> None:
    fill(tmp_path, "my model.onnx", content="12345")
    assert only(scan("my model.onnx")) == ArtifactRef(
        id=ServableId("my-model", 1),
        path=tmp_path / "my model.onnx",
        root=tmp_path,
        runtime="onnx",
        class_name=None,
        manifest=Manifest(),
        num_bytes=5,
        revision=only(scan("my model.onnx")).revision,
        is_single_file=True,
    )


def test_a_class_of_a_python_file_names_the_model(tmp_path: Path) -> None:
    fill(tmp_path, "app.py")
    plain, by_class = scan("app.py", "app.py:MyModel")
    assert (plain.name, by_class.name) == ("app", "my-model")
    ref = only([by_class])
    assert (ref.path, ref.runtime, ref.class_name) == (tmp_path / "app.py", "python", "MyModel")


def test_a_model_folder_holds_versions(tmp_path: Path) -> None:
    fill(tmp_path, "fraud/1/model.onnx", "fraud/10/model.onnx", "fraud/9/net.onnx")
    fill(tmp_path, "fraud/README.md", "fraud/_old/model.onnx", "fraud/11.tmp/model.onnx")
    (model,) = scan("fraud/")
    assert model.name == "fraud"
    assert numbers(model) == [1, 9, 10]
    assert model.error is None


def test_a_model_folder_may_hold_the_artifact_itself(tmp_path: Path) -> None:
    fill(tmp_path, "fraud/net.onnx", "fraud/words/vocab.txt", content="123")
    write(tmp_path / "fraud/model.yaml", "max_batch_size: 4")
    ref = only(scan("fraud"))
    assert ref.id == ServableId("fraud", 1)
    assert ref.path == tmp_path / "fraud" / "net.onnx"
    assert ref.manifest.max_batch_size == 4
    assert ref.num_bytes == 6


@pytest.mark.parametrize(
    ("manifest", "files", "artifact"),
    [
        ("runtime: xgboost", ["m.json"], "m.json"),
        ("runtime: lightgbm", ["m.txt"], "m.txt"),
        ("runtime: xgboost\nentry: b.json", ["a.json", "b.json"], "b.json"),
        ("runtime: xgboost\nentry: trees/b.json", ["a.json", "trees/b.json"], "trees/b.json"),
        ("runtime: xgboost\nwarmup: [{file: w.json}]", ["m.json", "w.json"], "m.json"),
        ("entry: net/m.onnx", ["net/m.onnx"], "net/m.onnx"),
    ],
)
def test_a_loose_artifact_may_be_one_by_its_manifest(
    tmp_path: Path, manifest: str, files: list[str], artifact: str
) -> None:
    fill(tmp_path, *(f"repo/fraud/{name}" for name in files))
    fill(tmp_path, "repo/fraud/model.yaml", content=manifest)
    ref = only(scan("repo"))
    assert (ref.id, ref.path) == (ServableId("fraud", 1), tmp_path / "repo" / "fraud" / artifact)
    assert not ref.is_single_file


def test_an_example_alone_is_no_loose_artifact(tmp_path: Path) -> None:
    fill(tmp_path, "repo/fraud/w.json", "repo/fraud/2/m.json")
    content = "runtime: xgboost\nwarmup: [{file: w.json}]"
    fill(tmp_path, "repo/fraud/model.yaml", content=content)
    assert only(scan("repo")).path == tmp_path / "repo" / "fraud" / "2" / "m.json"
    shutil.rmtree(tmp_path / "repo" / "fraud" / "2")
    (model,) = scan("repo")
    assert "no version" in str(model.error)


def test_a_loose_artifact_serves_on_while_the_manifest_that_named_it_is_broken(
    tmp_path: Path,
) -> None:
    fill(tmp_path, "repo/fraud/m.json")
    fill(tmp_path, "repo/fraud/model.yaml", content="runtime: xgboost")
    source = FileSystemSource(["repo"])
    before = only(source.scan())
    fill(tmp_path, "repo/fraud/model.yaml", content="runtme: xgboost")
    (model,) = source.scan()
    assert model.error is not None
    assert model.versions == (before,)


def test_version_folders_win_over_a_loose_artifact(tmp_path: Path) -> None:
    fill(tmp_path, "fraud/2/model.onnx", "fraud/model.onnx")
    assert only(scan("fraud")).id.version == 2


def test_a_repository_holds_model_folders(tmp_path: Path) -> None:
    fill(tmp_path, "models/a/1/model.onnx", "models/b/model.py", "models/c/", "models/_d/1/x.onnx")
    fill(tmp_path, "models/export.py", "models/.git/1/model.onnx")
    models = scan("models")
    assert [(m.name, numbers(m), m.error) for m in models] == [
        ("a", [1], None),
        ("b", [1], None),
        ("c", [], None),
    ]


def test_an_empty_repository_is_no_error(tmp_path: Path) -> None:
    fill(tmp_path, "models/")
    assert scan("models") == []


def test_the_current_folder_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "fraud/1/model.onnx")
    monkeypatch.chdir(tmp_path / "fraud")
    assert only(scan(".")).id == ServableId("fraud", 1)


def test_a_linked_folder_keeps_the_links_name(tmp_path: Path) -> None:
    fill(tmp_path, "releases/42/1/model.onnx")
    (tmp_path / "fraud").symlink_to(tmp_path / "releases" / "42")
    ref = only(scan("fraud"))
    assert ref.id == ServableId("fraud", 1)
    assert ref.path == tmp_path / "fraud" / "1" / "model.onnx"


def test_several_paths_are_one_truth(tmp_path: Path) -> None:
    fill(tmp_path, "z.onnx", "models/b/1/model.onnx", "a/1/model.py")
    assert [m.name for m in scan("z.onnx", "models", "a")] == ["a", "b", "z"]


def test_two_models_of_one_name_are_refused_with_both_paths(tmp_path: Path) -> None:
    fill(tmp_path, "x/fraud/1/model.onnx", "fraud.onnx")
    assert refusal("x", "fraud.onnx") == (
        "two models are called 'fraud': x/fraud and fraud.onnx; rename one"
    )


def test_a_path_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    fill(tmp_path, "models/", "dir/")
    assert refusal("modls") == "modls: no such file or folder; did you mean 'models'?"
    assert refusal("x/y.onnx") == "x/y.onnx: no such file or folder"
    assert refusal("owner/name-2.5") == (
        "owner/name-2.5: no such file or folder; a model on the Hugging Face hub is served as "
        "'hf://owner/name-2.5', or from a folder that holds a file model.hub with the line "
        "'owner/name-2.5'"
    )
    for path in ("/owner/name", "../name", "a/b/c", "models/name"):
        assert "hf://" not in refusal(path)


def test_a_path_that_cannot_be_read_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, "models/")

    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    assert refusal("models") == "models: cannot be read: Permission denied"


def test_no_path_and_empty_paths_are_refused() -> None:
    with pytest.raises(ConfigError, match="no path: expected a model file"):
        FileSystemSource([])
    with pytest.raises(ConfigError, match="got empty text"):
        FileSystemSource([""])


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, "m.gguf")
    assert refusal("m.gguf") == (
        "m.gguf: no runtime for '.gguf' (GGUF) in this version: "
        "convert the model to ONNX, or wrap it in a Python model"
    )


def test_a_folder_without_an_artifact_is_that_versions_error(tmp_path: Path) -> None:
    fill(tmp_path, "fraud/1/weights.bin", "fraud/2/model.onnx")
    (model,) = scan("fraud")
    assert numbers(model) == [2]
    assert why([StoredModel("fraud", Manifest(), model.versions[:1])]) == (
        "'fraud' version 1: no artifact: expected model.onnx or model.py, or one file of a format "
        "that a runtime serves; found: weights.bin"
    )


def test_a_broken_link_is_named(tmp_path: Path) -> None:
    fill(tmp_path, "fraud/1/")
    (tmp_path / "fraud/1/model.onnx").symlink_to("model.onnx")
    assert why(scan("fraud")).endswith("found: nothing; broken links: model.onnx")


def test_a_manifest_that_contradicts_the_artifact_is_that_versions_error(tmp_path: Path) -> None:
    fill(tmp_path, "fraud/1/model.py")
    write(tmp_path / "fraud/model.yaml", "runtime: onnx")
    assert why(scan("fraud")) == "'fraud' version 1: 'runtime: onnx' does not run model.py"


def test_the_manifests_entry_and_class_win(tmp_path: Path) -> None:
    fill(tmp_path, "fraud/1/code/app.py", "fraud/1/model.onnx")
    write(tmp_path / "fraud/model.yaml", "entry: code/app.py:Fraud")
    ref = only(scan("fraud"))
    assert ref.path == tmp_path / "fraud/1/code/app.py"
    assert ref.root == tmp_path / "fraud/1"
    assert (ref.runtime, ref.class_name) == ("python", "Fraud")


def test_a_bad_manifest_is_that_models_error_only(tmp_path: Path) -> None:
    fill(tmp_path, "models/a/1/model.onnx", "models/b/1/model.onnx")
    write(tmp_path / "models/a/model.yaml", "instances: {count: 0}")
    a, b = scan("models")
    assert isinstance(a.error, ConfigError)
    assert a.error.message == (
        "models/a/model.yaml: $.instances.count: expected a whole number >= 1, got 0"
    )
    assert (a.manifest, a.versions) == (Manifest(), ())
    assert (b.error, numbers(b)) == (None, [1])


def test_a_bad_manifest_keeps_the_last_good_state_less_what_is_gone(tmp_path: Path) -> None:
    fill(tmp_path, "fraud/1/model.onnx", "fraud/2/model.onnx")
    write(tmp_path / "fraud/model.yaml", "version_policy: all")
    source = FileSystemSource(["fraud"])
    (good,) = source.scan()
    write(tmp_path / "fraud/model.yaml", "version_policy: al")
    fill(tmp_path, "fraud/3/model.onnx")
    (bad,) = source.scan()
    assert bad.error is not None
    assert (bad.manifest, bad.versions) == (good.manifest, good.versions)
    (tmp_path / "fraud/1/model.onnx").unlink()
    (tmp_path / "fraud/1").rmdir()
    assert [numbers(m) for m in source.scan()] == [[2]]
    write(tmp_path / "fraud/model.yaml", "version_policy: all")
    assert [(numbers(m), m.error) for m in source.scan()] == [([2, 3], None)]


def test_a_folder_with_the_version_in_the_wrong_place_says_so(tmp_path: Path) -> None:
    fill(tmp_path, "models/fraud/v1/model.onnx")
    (model,) = scan("models")
    assert model.error is not None
    assert model.error.message == (
        "models/fraud: no version: expected a folder named by a whole number, such as '1', a "
        "package such as '1.pst', or an artifact; found: v1 (a folder that is no model may "
        "start with '_')"
    )


def test_a_folder_whose_name_fits_no_url_says_so(tmp_path: Path) -> None:
    fill(tmp_path, "models/my fraud/1/model.onnx")
    (model,) = scan("models")
    assert model.error is not None
    assert model.error.message == (
        "models/my fraud: 'my fraud' cannot be a model's name: rename the folder, using letters, "
        "digits, '_', '.' and '-'"
    )


def test_an_unreadable_model_is_that_models_error_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, "models/a/1/model.onnx", "models/b/1/model.onnx")
    real = os.scandir

    def refuse(path: str | os.PathLike[str]) -> object:
        if Path(path).parts[-1:] == ("a",) or Path(path).parts[-2:] == ("b", "1"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    a, b = scan("models")
    assert isinstance(a.error, LoadFailed)
    assert a.error.message == "models/a: cannot be read: Permission denied"
    assert why([b]) == "'b' version 1 cannot be read: Permission denied"


def test_the_revision_follows_files_and_manifest(tmp_path: Path) -> None:
    fill(tmp_path, "fraud/1/model.onnx", "fraud/1/vocab.txt")
    revisions = [only(scan("fraud")).revision]
    revisions.append(only(scan("fraud")).revision)
    assert revisions[0] == revisions[1]
    os.utime(tmp_path / "fraud/1/vocab.txt", ns=(LONG_AGO_NS + 1, LONG_AGO_NS + 1))
    revisions.append(only(scan("fraud")).revision)
    write(tmp_path / "fraud/model.yaml", "max_batch_size: 1")
    revisions.append(only(scan("fraud")).revision)
    fill(tmp_path, "fraud/1/new.txt")
    revisions.append(only(scan("fraud")).revision)
    assert len(set(revisions[1:])) == 4
    fill(tmp_path, "fraud/1/__pycache__/app.pyc", "fraud/1/.hidden", "fraud/README.md")
    assert only(scan("fraud")).revision == revisions[-1]


def test_scans_in_many_threads_agree(tmp_path: Path) -> None:
    fill(tmp_path, *(f"models/m{n}/1/model.onnx" for n in range(20)))
    source = FileSystemSource(["models"])
    with ThreadPoolExecutor(8) as pool:
        truths = list(pool.map(lambda _: source.scan(), range(16)))
    assert all(truth == truths[0] for truth in truths)


@pytest.mark.parametrize(
    "wrong", [{"settle_s": -1.0}, {"event_delay_s": -1.0}, {"poll_interval_s": 0.0}]
)
def test_options_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="must be >= 0"):
        WatchOptions(**wrong)  # type: ignore[arg-type]
