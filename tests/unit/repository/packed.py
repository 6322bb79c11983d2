"""Packages for tests, right ones and such as no honest packer writes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from penstock.repository.package_manifest import (
    FORMAT,
    PackagedFile,
    PackageManifest,
    Provenance,
    content_digest,
    encode_manifest,
    stored_order,
)
from penstock.repository.package_options import PackageOptions
from penstock.repository.package_path import MANIFEST_MEMBER, SEAL_MEMBER
from penstock.repository.package_seal import seal
from penstock.repository.package_tar import TRAILER, header, padding

ANYTHING = PackageOptions()
FILES = {"model.onnx": b"weights" * 300, "words/a.txt": b"alpha\n", "words/b.txt": b""}


def listed(path: str, content: bytes) -> PackagedFile:
    return PackagedFile(path, len(content), hashlib.sha256(content).hexdigest())


def manifest_of(files: Mapping[str, bytes], /, **fields: Any) -> PackageManifest:
    """A manifest of these files, in order."""
    entries = tuple(listed(path, files[path]) for path in sorted(files, key=stored_order))
    manifest = PackageManifest(
        format=FORMAT,
        name="fraud",
        version=3,
        runtime="onnx",
        entry="model.onnx",
        content_sha256=content_digest(entries),
        files=entries,
        provenance=Provenance(metrics={"auc": 0.9}, created_by="penstock test"),
    )
    return msgspec.structs.replace(manifest, **fields)


def package_bytes(
    files: Mapping[str, bytes],
    manifest: PackageManifest | bytes | None = None,
    sign_key: Path | None = None,
) -> bytes:
    """A package of these files, whatever the manifest says of them; nothing is checked."""
    told = manifest or manifest_of(files)
    head = told if isinstance(told, bytes) else encode_manifest(told)
    members = [(MANIFEST_MEMBER, head), (SEAL_MEMBER, seal(head, sign_key))]
    members += [(path, files[path]) for path in sorted(files, key=stored_order)]
    return b"".join(map(member, *zip(*members, strict=True))) + TRAILER


def member(name: str, content: bytes) -> bytes:
    return header(name, len(content)) + content + padding(len(content))


def save_package(
    path: Path, files: Mapping[str, bytes] = FILES, sign_key: Path | None = None, **fields: Any
) -> Path:
    """A right package on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(package_bytes(files, manifest_of(files, **fields), sign_key))
    return path


def save_keys(folder: Path, name: str = "key") -> tuple[Path, Path]:
    """A new Ed25519 key: the files of its private and its public half."""
    key = Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
