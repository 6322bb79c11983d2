"""Which paths a package may hold."""

from __future__ import annotations

import pytest

from penstock.repository.package_path import refuse_path, refuse_paths


@pytest.mark.parametrize(
    "path",
    [
        "model.onnx",
        "a/b/c.txt",
        "ünïcode/模型.bin",
        ".hidden",
        "a b.txt",
        "penstock.json.bak",
        "..a",
    ],
)
def test_plain_relative_paths_are_held(path: str) -> None:
    assert refuse_path(path) is None


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("", "relative"),
        ("/etc/passwd", "relative"),
        ("..", "'..'"),
        ("../x", "'..'"),
        ("a/../../x", "'..'"),
        ("a/./x", "'.'"),
        ("a//x", "''"),
        ("a/", "''"),
        ("a\\..\\x", "file system"),
        ("C:/x", "file system"),
        ("a\0b", "file system"),
        ("a\nb", "file system"),
        ("a\x1b[31m", "file system"),
        ("\udc80", "UTF-8"),
        ("x" * 256, "longer than 255"),
        ("x/" * 600 + "x", "longer than 1024"),
        ("penstock.json", "package's own"),
        ("penstock.seal", "package's own"),
    ],
)
def test_a_path_that_could_lead_elsewhere_is_refused(path: str, why: str) -> None:
    assert why in (refuse_path(path) or "")


@pytest.mark.parametrize(
    ("paths", "why"),
    [
        (["a", "a"], "one name"),
        (["Model.onnx", "model.ONNX"], "one name"),
        (["\u00e9", "e\u0301"], "one name"),
        (["straße", "STRASSE"], "one name"),
        (["a", "a/b"], "is a file, and a folder"),
        (["A/b", "a"], "is a file, and a folder"),
        (["ok", "../x"], "'..'"),
    ],
)
def test_files_that_take_each_others_place_are_refused(paths: list[str], why: str) -> None:
    assert why in (refuse_paths(paths) or "")


def test_files_that_do_not_are_held() -> None:
    assert refuse_paths(["a/b", "a/c", "ab", "A b"]) is None
    assert refuse_paths([]) is None
