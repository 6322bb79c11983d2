"""Seal: the digest of a package's manifest, and who signed it.

The manifest holds the digest of every file, so the seal holds for the whole package.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from penstock.core.errors import ConfigError, LoadFailed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

_DOMAIN = b"penstock package 1\n"
"""Stands before what is signed, so that a signature means a package and nothing else."""

INSTALL = "pip install 'penstock[signing]'"


class Seal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """``penstock.seal``, the second member of a package.

    Attributes:
        sha256: digest of the manifest's bytes, 64 hex digits: the package's digest.
        public_key: the raw Ed25519 key of who signed; empty: nobody did.
        signature: the Ed25519 signature, 64 bytes.
    """

    sha256: str
    public_key: bytes = b""
    signature: bytes = b""

    @property
    def key_id(self) -> str:
        """The signer's key in 16 hex digits; "": not signed."""
        return fingerprint(self.public_key) if self.public_key else ""


def fingerprint(public_key: bytes) -> str:
    """A raw public key in 16 hex digits, for people."""
    return hashlib.sha256(public_key).hexdigest()[:16]


def seal(manifest: bytes, sign_key: Path | None = None) -> bytes:
    """Make the seal of a manifest; Ed25519 is deterministic, so there is one for each key.

    Args:
        manifest: its bytes.
        sign_key: file of an Ed25519 private key, PEM; None: not signed.

    Raises:
        ConfigError: the key file cannot be read or holds no such key.
        LoadFailed: the library for signatures is not installed.
    """
    sha256 = hashlib.sha256(manifest).hexdigest()
    if sign_key is None:
        return encode_seal(Seal(sha256))
    key = read_signing_key(sign_key)
    public = key.public_key().public_bytes_raw()
    return encode_seal(Seal(sha256, public, key.sign(_DOMAIN + manifest)))


def encode_seal(value: Seal) -> bytes:
    """The one written form of a seal."""
    return msgspec.json.encode(value) + b"\n"


def open_seal(content: bytes, manifest: bytes, source: str) -> Seal:
    """Read a seal and see that it is this manifest's. Who signed is not checked here.

    Raises:
        LoadFailed: it is none, or another manifest's.
    """
    try:
        found = msgspec.json.decode(content, type=Seal)
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise LoadFailed(f"{source}: seal: {err}") from err
    if encode_seal(found) != content:
        raise LoadFailed(f"{source}: seal: not in the form that 'penstock pack' writes")
    actual = hashlib.sha256(manifest).hexdigest()
    if found.sha256 != actual:
        raise LoadFailed(
            f"{source}: the manifest's digest is {actual}, the seal says {found.sha256[:64]}: "
            "the package was changed or damaged"
        )
    return found


def check_signature(value: Seal, manifest: bytes, keys: Sequence[Path], source: str) -> None:
    """See that one of these keys signed the manifest.

    Args:
        value: the seal.
        manifest: the manifest's bytes.
        keys: files of Ed25519 public keys, PEM; empty: everything is accepted.
        source: what an error calls the package.

    Raises:
        LoadFailed: unsigned, signed by another key, or the signature is wrong.
        ConfigError: a key file cannot be read.

    Concurrency: blocks on the key files.
    """
    if not keys:
        return
    if not value.signature:
        raise LoadFailed(
            f"{source}: not signed, and packages.trusted_keys accepts signed packages only: "
            "pack it with --sign-key"
        )
    trusted = {key.public_bytes_raw(): key for key in read_keys(keys)}
    key = trusted.get(value.public_key)
    if key is None:
        known = ", ".join(sorted(map(fingerprint, trusted)))
        raise LoadFailed(
            f"{source}: signed by the key {value.key_id}, which is none of those trusted: {known}"
        )
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(value.signature, _DOMAIN + manifest)
    except InvalidSignature as err:
        raise LoadFailed(
            f"{source}: its signature is not that of the key {value.key_id}: "
            "the package was changed, or its seal is another's"
        ) from err


def read_keys(paths: Sequence[Path]) -> list[Ed25519PublicKey]:
    """Read Ed25519 public keys. Blocks.

    Raises:
        ConfigError: a file cannot be read or holds no such key.
        LoadFailed: the library for signatures is not installed.
    """
    return [_public_key(path) for path in paths]


def _public_key(path: Path) -> Ed25519PublicKey:
    content = _read(path)
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ModuleNotFoundError as err:
        raise _not_installed() from err
    if b"PRIVATE KEY" in content:
        raise ConfigError(
            f"{path}: holds a private key; a server needs the public one only: "
            "openssl pkey -in key.pem -pubout -out key.pub.pem"
        )
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm) as err:
        raise ConfigError(f"{path}: expected an Ed25519 public key in PEM: {err}") from err
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"{path}: expected an Ed25519 public key, got {type(key).__name__}")
    return key


def read_signing_key(path: Path) -> Ed25519PrivateKey:
    """Read an Ed25519 private key. Blocks.

    Raises:
        ConfigError: the file cannot be read or holds no such key.
        LoadFailed: the library for signatures is not installed.
    """
    content = _read(path)
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ModuleNotFoundError as err:
        raise _not_installed() from err
    try:
        key = load_pem_private_key(content, password=None)
    except TypeError as err:
        raise ConfigError(
            f"{path}: the key is encrypted; decrypt it for packing: openssl pkey -in {path}"
        ) from err
    except (ValueError, UnsupportedAlgorithm) as err:
        raise ConfigError(
            f"{path}: expected an Ed25519 private key in PEM "
            f"(openssl genpkey -algorithm ed25519): {err}"
        ) from err
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path}: expected an Ed25519 private key, got {type(key).__name__}")
    return key


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as err:
        raise ConfigError(f"{path}: key cannot be read: {err.strerror or err}") from err


def _not_installed() -> LoadFailed:
    return LoadFailed(f"signed packages need the package 'cryptography': {INSTALL}")
