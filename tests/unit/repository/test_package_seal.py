"""Who signed a package, and whether that counts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from penstock.core.errors import ConfigError, LoadFailed
from penstock.repository.package_seal import (
    INSTALL,
    Seal,
    check_signature,
    encode_seal,
    open_seal,
    read_keys,
    seal,
)
from tests.unit.repository.packed import save_keys

MANIFEST = b'{"format": 1}\n'


def checked(content: bytes, *keys: Path, manifest: bytes = MANIFEST) -> Seal:
    found = open_seal(content, manifest, "m.pst")
    check_signature(found, manifest, keys, "m.pst")
    return found


def test_an_unsigned_seal_holds_where_no_key_is_trusted() -> None:
    assert checked(seal(MANIFEST)).key_id == ""


def test_a_seal_of_another_manifest_is_refused() -> None:
    with pytest.raises(LoadFailed, match="changed or damaged"):
        open_seal(seal(MANIFEST), MANIFEST + b" ", "m.pst")


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", seal(MANIFEST) + b" ", b"null"])
def test_what_is_no_seal_is_refused(content: bytes) -> None:
    with pytest.raises(LoadFailed, match=r"m\.pst: seal"):
        open_seal(content, MANIFEST, "m.pst")


def test_any_trusted_key_will_do_and_one_key_signs_one_way(tmp_path: Path) -> None:
    private, public = save_keys(tmp_path)
    _, other = save_keys(tmp_path, "other")
    signed = seal(MANIFEST, private)
    assert signed == seal(MANIFEST, private)
    assert len(checked(signed, other, public).key_id) == 16


def test_an_unsigned_package_is_refused_where_a_key_is_trusted(tmp_path: Path) -> None:
    _, public = save_keys(tmp_path)
    with pytest.raises(LoadFailed, match=r"not signed, and packages\.trusted_keys"):
        checked(seal(MANIFEST), public)


def test_a_strangers_signature_is_refused(tmp_path: Path) -> None:
    private, _ = save_keys(tmp_path)
    _, other = save_keys(tmp_path, "other")
    with pytest.raises(LoadFailed, match="none of those trusted"):
        checked(seal(MANIFEST, private), other)


def test_a_signature_under_a_trusted_keys_name_is_refused(tmp_path: Path) -> None:
    private, public = save_keys(tmp_path)
    stranger, _ = save_keys(tmp_path, "stranger")
    ours = open_seal(seal(MANIFEST, private), MANIFEST, "m.pst")
    theirs = open_seal(seal(MANIFEST, stranger), MANIFEST, "m.pst")
    forged = encode_seal(Seal(ours.sha256, ours.public_key, theirs.signature))
    with pytest.raises(LoadFailed, match="its signature is not that of the key"):
        checked(forged, public)


def test_a_signature_is_for_one_manifest(tmp_path: Path) -> None:
    private, public = save_keys(tmp_path)
    ours = open_seal(seal(MANIFEST, private), MANIFEST, "m.pst")
    other = MANIFEST + b" "
    moved = encode_seal(
        Seal(open_seal(seal(other), other, "m.pst").sha256, ours.public_key, ours.signature)
    )
    with pytest.raises(LoadFailed, match="its signature is not that of the key"):
        checked(moved, public, manifest=other)


def test_openssl_makes_the_keys(tmp_path: Path) -> None:
    key, public = tmp_path / "k.pem", tmp_path / "k.pub.pem"
    try:
        make = ["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(key)]
        subprocess.run(make, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no openssl with Ed25519 here")
    subprocess.run(["openssl", "pkey", "-in", str(key), "-pubout", "-out", str(public)], check=True)
    assert checked(seal(MANIFEST, key), public).signature


def test_a_key_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    private, public = save_keys(tmp_path)
    missing, text, rsa = (tmp_path / name for name in ("missing", "text.pem", "rsa.pem"))
    text.write_text("no key")
    rsa.write_bytes(
        generate_private_key(65537, 2048)
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    for path, why in (
        (missing, "cannot be read"),
        (text, "expected an Ed25519 public key in PEM"),
        (rsa, "expected an Ed25519 public key, got"),
        (private, "holds a private key"),
    ):
        with pytest.raises(ConfigError, match=why) as caught:
            read_keys([path])
        assert str(path) in caught.value.message
    with pytest.raises(ConfigError, match="expected an Ed25519 private key"):
        seal(MANIFEST, public)


def test_an_encrypted_or_foreign_private_key_is_named(tmp_path: Path) -> None:
    private, _ = save_keys(tmp_path)
    key = load_pem_private_key(private.read_bytes(), None)
    locked, rsa = tmp_path / "locked.pem", tmp_path / "rsa.pem"
    locked.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    )
    rsa.write_bytes(
        generate_private_key(65537, 2048).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
    )
    with pytest.raises(ConfigError, match="encrypted"):
        seal(MANIFEST, locked)
    with pytest.raises(ConfigError, match="expected an Ed25519 private key, got"):
        seal(MANIFEST, rsa)


def test_the_missing_library_is_named_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = save_keys(tmp_path)
    for name in [name for name in sys.modules if name.startswith("cryptography")]:
        monkeypatch.setitem(sys.modules, name, None)
    for work in (lambda: read_keys([public]), lambda: seal(MANIFEST, private)):
        with pytest.raises(LoadFailed) as caught:
            work()
        assert INSTALL in caught.value.message
