"""A package's manifest has one written form."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from penstock.core.errors import LoadFailed
from penstock.repository.package_manifest import (
    FORMAT,
    PackageManifest,
    decode_manifest,
    encode_manifest,
)
from tests.unit.repository.packed import FILES, listed, manifest_of


def refusal(content: bytes) -> str:
    with pytest.raises(LoadFailed) as caught:
        decode_manifest(content, "m.pst")
    assert caught.value.message.startswith("m.pst: ")
    return caught.value.message


def changed(**fields: Any) -> bytes:
    return encode_manifest(manifest_of(FILES, **fields))


def test_what_was_written_is_read() -> None:
    manifest = manifest_of(FILES)
    assert decode_manifest(encode_manifest(manifest), "m.pst") == manifest


def test_metrics_are_written_in_one_order() -> None:
    one, other = (
        encode_manifest(
            manifest_of(
                {}, provenance=msgspec.structs.replace(manifest_of({}).provenance, metrics=metrics)
            )
        )
        for metrics in ({"a": 1.0, "b": 2.0}, {"b": 2.0, "a": 1.0})
    )
    assert one == other


def test_the_content_digest_knows_nothing_but_the_files() -> None:
    one, other = manifest_of(FILES), manifest_of(FILES, name="churn", version=9)
    assert one.content_sha256 == other.content_sha256
    assert one.content_sha256 != manifest_of({**FILES, "x": b""}).content_sha256


def test_another_format_is_named() -> None:
    text = refusal(json.dumps({"format": FORMAT + 1, "new": True}).encode())
    assert f"package format {FORMAT + 1}, this version of Penstock reads {FORMAT}" in text


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"format": "1"}', b"[" * 100_000])
def test_what_is_no_manifest_is_refused(content: bytes) -> None:
    refusal(content)


def test_a_second_way_to_write_it_is_refused() -> None:
    content = changed()
    assert "form" in refusal(content + b" ")
    assert "form" in refusal(json.dumps(json.loads(content)).encode())


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (changed(name="../x"), "model's name"),
        (changed(version=-1), "version"),
        (changed(content_sha256="0" * 64), "content_sha256"),
        (changed(content_sha256="z"), "content_sha256"),
        (changed(files=tuple(reversed(manifest_of(FILES).files))), "order"),
        (changed(files=(listed("../x", b""),)), "'..'"),
        (changed(files=(listed("a", b""), listed("a", b""))), "one name"),
        (changed(files=(msgspec.structs.replace(listed("a", b""), size_bytes=-1),)), "size_bytes"),
        (changed(files=(msgspec.structs.replace(listed("a", b""), sha256="no"),)), "sha256"),
        (changed().replace(b'"runtime"', b'"rantime"'), "rantime"),
    ],
)
def test_a_wrong_manifest_is_refused(content: bytes, why: str) -> None:
    assert why in refusal(content)


def test_model_yaml_is_stored_first() -> None:
    files = {"a.txt": b"", "model.yaml": b"{}", "Z": b""}
    assert [f.path for f in manifest_of(files).files] == ["model.yaml", "Z", "a.txt"]


def test_every_field_has_a_place_in_the_text() -> None:
    told = json.loads(changed())
    optional = {"signature", "requirements"}
    assert set(told) == set(PackageManifest.__struct_fields__) - optional
