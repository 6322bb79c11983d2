"""Which files of a listing belong together."""

from __future__ import annotations

import pytest

from penstock.core.errors import LoadFailed
from penstock.repository.remote.model_unit import find_units
from penstock.repository.remote.remote_file import RemoteFile
from penstock.repository.remote.remote_url import parse_remote_url


def units(url: str, *paths: str) -> dict[str, tuple[int | None, tuple[str, ...]]]:
    """Each unit's version and its files, by its place."""
    files = [RemoteFile(path, path, 1) for path in paths]
    found = find_units(parse_remote_url(url), files)
    return {f"{u.model}:{u.path}": (u.version, tuple(f.path for f in u.files)) for u in found}


def test_a_repository() -> None:
    assert units(
        "s3://b/models",
        "README.md",
        "_archive/1/model.onnx",
        "digits/.hidden",
        "digits/1/model.onnx",
        "digits/1/sub/data.bin",
        "digits/3.pst",
        "digits/model.yaml",
        "digits/warm/one.json",
        "loose/model.onnx",
        "loose/model.yaml",
    ) == {
        "digits:digits/1": (1, ("model.onnx", "sub/data.bin")),
        "digits:digits/3.pst": (3, ("",)),
        "digits:digits": (None, ("model.yaml", "warm/one.json")),
        "loose:loose": (1, ("model.onnx", "model.yaml")),
    }


def test_a_model() -> None:
    assert units("s3://b/models/digits", "2/model.onnx", "model.yaml") == {
        "digits:digits/2": (2, ("model.onnx",)),
        "digits:digits": (None, ("model.yaml",)),
    }
    assert units("s3://b/digits", "model.onnx", "a/b.bin") == {
        "digits:digits": (1, ("model.onnx", "a/b.bin"))
    }


def test_a_version_and_a_file() -> None:
    assert units("s3://b/digits/7", "model.onnx") == {"digits:digits/7": (7, ("model.onnx",))}
    assert units("s3://b/digits/fraud.onnx", "fraud.onnx") == {"fraud:fraud": (1, ("fraud.onnx",))}


def test_a_package_says_itself_what_it_is() -> None:
    assert units("s3://b/digits.pst", "digits.pst") == {"digits:": (None, ("digits.pst",))}


@pytest.mark.parametrize("path", ["../a", "a/../../b", "/a", "a//b", "./a", "a\\b", "a\0"])
def test_names_that_lead_elsewhere(path: str) -> None:
    with pytest.raises(LoadFailed, match="refuses a file whose name is no plain path"):
        units("s3://b/m", "1/model.onnx", path)
