"""The bytes between a package's members are those of a tar archive."""

from __future__ import annotations

import hashlib
import io
import tarfile

import pytest

from penstock.repository.package_tar import BLOCK_BYTES, header, padding, peek
from tests.unit.repository.packed import FILES, package_bytes

NAMES = ["model.onnx", "a/b", "x" * 100, "x" * 101, "ü" * 50, "d/" * 120 + "f"]


@pytest.mark.parametrize("name", NAMES)
def test_tar_reads_what_we_write(name: str) -> None:
    content = header(name, 3) + b"abc" + padding(3) + bytes(2 * BLOCK_BYTES)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        (member,) = archive.getmembers()
        assert (member.name, member.size, member.isreg(), member.mtime) == (name, 3, True, 0)
        assert archive.extractfile(member).read() == b"abc"  # type: ignore[union-attr]


def test_tar_reads_sizes_beyond_eight_gibibytes() -> None:
    size = 9 * 1024**3
    member = tarfile.open(fileobj=io.BytesIO(header("big", size))).next()  # noqa: SIM115
    assert member is not None
    assert member.size == size


def test_headers_never_change() -> None:
    """Every package ever written depends on these bytes: a Python that makes others breaks us."""
    written = b"".join(header(name, size) for name in NAMES for size in (0, 511, 2**33))
    assert hashlib.sha256(written).hexdigest() == (
        "c803bee7d7c69e86b6541c4b496c7d224bdae37d12d10e036624c24b5097d377"
    )


def test_peek_believes_only_what_it_would_write() -> None:
    assert peek(header("penstock.json", 12)) == ("penstock.json", 12)
    link = tarfile.TarInfo("penstock.json")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    for block in (link.tobuf(), bytes(512), b"x" * 512, b"", header("x", 1)[:-1], b"\xff" * 512):
        assert peek(block) is None


def test_a_package_unpacks_with_tar() -> None:
    with tarfile.open(fileobj=io.BytesIO(package_bytes(FILES))) as archive:
        names = archive.getnames()
    assert names == ["penstock.json", "penstock.seal", *sorted(FILES)]
