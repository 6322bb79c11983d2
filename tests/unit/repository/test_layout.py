"""What names in a folder mean."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from penstock.repository.layout import (
    folder_kind,
    has_loose_artifact,
    is_model_name,
    is_skipped,
    loose_artifacts,
    model_folders,
    name_from_class,
    name_from_stem,
    version_folders,
    version_number,
)
from penstock.repository.listing import Entry
from penstock.repository.manifest import Manifest, Warmup


def entries(*names: str) -> list[Entry]:
    """Entries of these names; a folder's ends in ``/``."""
    return [Entry(n.rstrip("/"), "folder" if n.endswith("/") else "file") for n in names]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("0", 0), ("1", 1), ("20240131", 20240131), ("9" * 18, int("9" * 18))],
)
def test_whole_numbers_are_versions(name: str, expected: int) -> None:
    assert version_number(name) == expected


@pytest.mark.parametrize("name", ["", "01", "00", "-1", "+1", "v1", "1.0", "1 ", "٣", "9" * 19])
def test_anything_else_is_no_version(name: str) -> None:
    assert version_number(name) is None


def test_versions_are_folders_in_ascending_order() -> None:
    found = version_folders(entries("10/", "9/", "2/", "3", "README.md", "old/"))
    assert list(found.items()) == [(2, "2"), (9, "9"), (10, "10")]


@pytest.mark.parametrize(
    "name",
    [".git", "_old", "__pycache__", "fraud.tmp", "fraud.partial", "fraud~", "lost+found", ".x.Qz1"],
)
def test_hidden_and_unfinished_folders_are_skipped(name: str) -> None:
    assert is_skipped(name)
    assert model_folders(entries(name + "/", "fraud/")) == ["fraud"]


def test_loose_artifacts_are_visible_files_with_a_models_ending() -> None:
    found = loose_artifacts(
        entries("a.onnx", ".b.onnx", "c.onnx.tmp", "d.onnx~", "e.py", "f.pt", "g.txt", "h.onnx/")
    )
    assert found == ["a.onnx", "e.py", "f.pt"]


@pytest.mark.parametrize(
    ("names", "manifest", "expected"),
    [
        (["m.onnx"], Manifest(), True),
        (["m.json"], Manifest(), False),
        (["m.json"], Manifest(runtime="xgboost"), True),
        (["m.json/"], Manifest(runtime="xgboost"), False),
        ([".m.json", "m.json~"], Manifest(runtime="xgboost"), False),
        (["m.json"], Manifest(runtime="lightgbm"), False),
        (["w.json"], Manifest(runtime="xgboost", warmup=(Warmup(file="w.json"),)), False),
        (["net/"], Manifest(entry="net/m.onnx"), True),
        (["app.py"], Manifest(entry="app.py:Net"), True),
        (["b.json"], Manifest(runtime="xgboost", entry="a.json"), False),
        ([".net/"], Manifest(entry=".net/m.onnx"), False),
    ],
)
def test_the_manifest_may_make_a_loose_artifact_of_a_file(
    names: list[str], manifest: Manifest, expected: bool
) -> None:
    assert has_loose_artifact(entries(*names), manifest) is expected


@pytest.mark.parametrize(
    ("names", "inside", "expected"),
    [
        (["1/"], {}, "model"),
        (["model.yaml", "a/"], {}, "model"),
        (["model.onnx", "a/"], {"a": ["1/"]}, "model"),
        (["net.onnx", "vocab.txt"], {}, "model"),
        (["w.safetensors"], {}, "model"),
        (["net.onnx", "assets/"], {"assets": ["words.txt"]}, "model"),
        (["export.py", "fraud/"], {"fraud": ["1/"]}, "repository"),
        (["export.py", "fraud/"], {"fraud": ["model.yaml"]}, "repository"),
        (["fraud/", "README.md"], {}, "repository"),
        ([], {}, "repository"),
    ],
)
def test_a_folder_is_a_model_or_a_repository(
    names: list[str], inside: dict[str, list[str]], expected: str
) -> None:
    def entries_of(name: str) -> Sequence[Entry]:
        return entries(*inside.get(name, []))

    assert folder_kind(entries(*names), entries_of) == expected


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("model", "model"),
        ("my_model.v2", "my_model.v2"),
        ("my model (1)", "my-model-1"),
        ("---", "model"),
        ("a/b", "a-b"),
        ("modèle", "modèle"),
    ],
)
def test_a_stem_becomes_a_name(stem: str, expected: str) -> None:
    assert name_from_stem(stem) == expected


@pytest.mark.parametrize(
    ("class_name", "expected"),
    [
        ("MyModel", "my-model"),
        ("Sentiment", "sentiment"),
        ("HTTPModel2Go", "http-model2-go"),
        ("my_model", "my-model"),
        ("_", "model"),
    ],
)
def test_a_class_becomes_a_name(class_name: str, expected: str) -> None:
    assert name_from_class(class_name) == expected


@pytest.mark.parametrize("name", ["", "-a", "a b", "a:b", "a/b", ".a", "a\n"])
def test_names_that_do_not_fit_a_url_are_no_model_names(name: str) -> None:
    assert not is_model_name(name)
