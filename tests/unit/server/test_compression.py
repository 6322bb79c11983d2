"""Content encodings."""

from __future__ import annotations

import gzip
import zlib

import pytest

from penstock.core.errors import InvalidArgument, TooLarge, UnsupportedEncoding
from penstock.server.compression import choose_encoding, compress, decompress

TEXT = b"penstock " * 1000


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("packed", "encoding"),
    [
        (TEXT, ""),
        (TEXT, "identity"),
        (gzip.compress(TEXT, mtime=0), "gzip"),
        (gzip.compress(TEXT, mtime=0), " GZIP "),
        (zlib.compress(TEXT), "deflate"),
        (raw_deflate(TEXT), "deflate"),
    ],
)
def test_bodies_unpack(packed: bytes, encoding: str) -> None:
    assert decompress(packed, encoding, len(TEXT)) == TEXT


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_what_is_packed_here_unpacks(encoding: str) -> None:
    for data in (b"", b"x", TEXT):
        assert decompress(compress(data, encoding), encoding, len(TEXT)) == data


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, raw_deflate])
def test_a_bomb_is_told_by_its_first_byte_too_many(pack: object) -> None:
    encoding = "gzip" if pack is gzip.compress else "deflate"
    bomb = pack(b"\x00" * 50_000_000)  # type: ignore[operator]
    with pytest.raises(TooLarge, match="limit of 1000 bytes"):
        decompress(bomb, encoding, 1000)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("body", [b"", b"x", b"x\x9c", b"xx", b"garbage" * 10, b"\x1f\x8b"])
def test_what_does_not_unpack(encoding: str, body: bytes) -> None:
    with pytest.raises(InvalidArgument, match=encoding):
        decompress(body, encoding, 1000)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_every_cut_is_noticed(encoding: str) -> None:
    packed = compress(b"some text", encoding)
    for end in range(len(packed)):
        with pytest.raises(InvalidArgument):
            decompress(packed[:end], encoding, 1000)


@pytest.mark.parametrize("encoding", ["br", "gzip, deflate", "zstd", "x"])
def test_other_encodings(encoding: str) -> None:
    text = f"'{encoding}' is not one of gzip, deflate, identity"
    with pytest.raises(UnsupportedEncoding, match=text):
        decompress(TEXT, encoding, 10)


@pytest.mark.parametrize(
    ("accept", "encoding"),
    [
        ("", ""),
        ("*", ""),
        ("identity", ""),
        ("br", ""),
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("GZip", "gzip"),
        ("gzip, deflate", "gzip"),
        ("deflate, gzip", "deflate"),
        ("gzip;q=0.5, deflate;q=0.6", "deflate"),
        ("gzip;q=0.5,deflate; q = 0.4", "gzip"),
        ("gzip;q=0", ""),
        ("gzip;q=0, deflate", "deflate"),
        ("gzip;q=nonsense", ""),
        ("br, gzip;q=0.1", "gzip"),
        (",,;q=1,gzip", "gzip"),
    ],
)
def test_the_encoding_of_the_answer(accept: str, encoding: str) -> None:
    assert choose_encoding(accept) == encoding


def test_gzip_goes_on_after_the_end_of_a_member() -> None:
    packed = gzip.compress(TEXT, mtime=0) + gzip.compress(b"more", mtime=0)
    assert decompress(packed, "gzip", 10**6) == TEXT + b"more"
    with pytest.raises(TooLarge):
        decompress(packed, "gzip", len(TEXT) + 3)


def test_what_follows_packed_data_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="no valid gzip"):
        decompress(gzip.compress(TEXT, mtime=0) + b"garbage", "gzip", 10**6)
    with pytest.raises(InvalidArgument, match="followed by more bytes"):
        decompress(zlib.compress(TEXT) + b"garbage", "deflate", 10**6)


def test_many_members_take_no_more_than_linear_time() -> None:
    packed = gzip.compress(b"", mtime=0) * 50_000
    assert decompress(packed, "gzip", 10) == b""
