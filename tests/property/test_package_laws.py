"""Laws of model packages: nothing leads out, nothing changed is believed, equal is equal."""

from __future__ import annotations

import os
import tempfile
import unicodedata
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from penstock.core.errors import LoadFailed
from penstock.repository.package_check import check_package
from penstock.repository.package_manifest import content_digest
from penstock.repository.package_path import refuse_path, refuse_paths
from penstock.repository.package_store import unpack
from penstock.repository.package_write import list_files, write_package
from tests.unit.repository.packed import (
    ANYTHING,
    FILES,
    contents,
    listed,
    manifest_of,
    package_bytes,
)

ODD = ["..", ".", "", "/", "\\", "~", "C:", "a", "A", "é", "e\u0301", "\0", "\u202e", "x" * 300]
paths = st.one_of(
    st.lists(st.sampled_from([*ODD, "b", "model.onnx"]), max_size=5).map("/".join),
    st.text(max_size=12),
    st.text(alphabet="./\\ab:", max_size=8),
)
plain = st.lists(
    st.sampled_from(["a", "A", "b", "é", "e\u0301", "ß", "ss"]), min_size=1, max_size=3
).map("/".join)
files = st.dictionaries(
    st.sampled_from(["a", "b/c", "b/d", "model.yaml", "model.onnx", "ü"]),
    st.binary(max_size=1100),
    max_size=4,
)
PACKAGE = package_bytes(FILES)


@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(paths)
def test_a_path_that_is_held_stays_in_its_folder(path: str) -> None:
    assume(refuse_path(path) is None)
    inside = os.path.normpath(f"/root/folder/{path}")
    assert inside == f"/root/folder/{path}"
    assert PurePosixPath(path).parts == tuple(path.split("/"))
    assert not set(path) & {"\\", ":", "\0"}


@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(st.lists(plain, max_size=4))
def test_files_that_are_held_together_are_as_many_in_any_file_system(names: list[str]) -> None:
    assume(refuse_paths(names) is None)
    names = [unicodedata.normalize("NFC", name) for name in names]
    assert len({name.lower() for name in names}) == len({name.upper() for name in names})
    assert len({name.lower() for name in names}) == len(names)
    for name in names:
        assert not any(other.startswith(f"{name}/") for other in names)


@given(st.lists(paths, min_size=1, max_size=3))
def test_whatever_a_package_names_nothing_is_written_outside_of_the_cache(
    names: list[str],
) -> None:
    """Even who makes the manifest and the seal by hand writes nowhere but in the cache."""
    try:
        entries = tuple(listed(name, b"evil") for name in names)
        told = manifest_of({}, files=entries, content_sha256=content_digest(entries))
        content = package_bytes(dict.fromkeys(names, b"evil"), told)
    except UnicodeEncodeError:
        return
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        (root / "m.pst").write_bytes(content)
        try:
            folder = unpack(root / "m.pst", root / "cache", ANYTHING)
        except LoadFailed:
            assert [path.name for path in root.iterdir() if path.name != "cache"] == ["m.pst"]
            assert not any(path.is_file() for path in root.glob("cache/[!.]*/**/*"))
        else:
            assert contents(folder) == dict.fromkeys(names, b"evil")
            assert {path.name for path in root.iterdir()} == {"m.pst", "cache"}


def test_not_one_byte_can_be_changed(tmp_path: Path) -> None:
    """Every one of them, in turn; the next test changes some of them in every way."""
    package = tmp_path / "m.pst"
    package.write_bytes(PACKAGE)
    believed = []
    with package.open("r+b", buffering=0) as file:
        for position, byte in enumerate(PACKAGE):
            for content in (byte ^ 1, byte):
                file.seek(position)
                file.write(bytes([content]))
                if content != byte and is_believed(package):
                    believed.append(position)
    assert believed == []
    assert is_believed(package)


def is_believed(package: Path) -> bool:
    try:
        check_package(package)
    except LoadFailed:
        return False
    return True


@given(st.integers(0, len(PACKAGE) - 1), st.integers(1, 255))
def test_a_package_with_any_byte_changed_is_refused(position: int, mask: int) -> None:
    changed = bytearray(PACKAGE)
    changed[position] ^= mask
    assert_refused(bytes(changed))


@given(st.integers(0, len(PACKAGE) - 1))
def test_a_package_cut_anywhere_is_refused(length: int) -> None:
    assert_refused(PACKAGE[:length])


@given(st.binary(min_size=1, max_size=2000))
def test_a_package_with_more_behind_it_is_refused(more: bytes) -> None:
    assert_refused(PACKAGE + more)


@given(st.binary(max_size=3000))
def test_no_bytes_break_the_reader(content: bytes) -> None:
    assert_refused(content)


def assert_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        (root / "m.pst").write_bytes(content)
        with pytest.raises(LoadFailed):
            unpack(root / "m.pst", root / "cache", ANYTHING)
        assert not any(path.is_file() for path in root.glob("cache/*/**/*"))
        with pytest.raises(LoadFailed):
            check_package(root / "m.pst")


@given(files)
def test_what_is_packed_is_what_is_unpacked(content: Mapping[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        sources = {}
        for number, path in enumerate(content):
            sources[path] = root / str(number)
            sources[path].write_bytes(content[path])
        manifest = manifest_of(content)
        assert list_files(sources) == manifest.files
        write_package(root / "m.pst", manifest, sources)
        assert (root / "m.pst").read_bytes() == package_bytes(content)
        assert contents(unpack(root / "m.pst", root / "cache", ANYTHING)) == content


@given(files, files)
def test_the_content_digest_is_equal_for_equal_files_only(
    one: Mapping[str, bytes], other: Mapping[str, bytes]
) -> None:
    equal = manifest_of(one).content_sha256 == manifest_of(other).content_sha256
    assert equal == (one == other)
