"""PackageHead: all of a package but its files' content, read and checked without unpacking."""

from __future__ import annotations

import hashlib
import os
from typing import BinaryIO

import msgspec

from penstock.core.errors import LoadFailed
from penstock.repository.manifest import MANIFEST_NAME
from penstock.repository.manifest_yaml import MAX_MANIFEST_BYTES
from penstock.repository.package_manifest import PackageManifest, decode_manifest
from penstock.repository.package_options import PackageOptions
from penstock.repository.package_path import MANIFEST_MEMBER, SEAL_MEMBER
from penstock.repository.package_seal import Seal, check_signature, open_seal
from penstock.repository.package_tar import (
    BLOCK_BYTES,
    TRAILER,
    expect,
    header,
    padding,
    peek,
    stored_bytes,
)

_MAX_HEAD_BYTES = 16 * 1024 * 1024
_MAX_SEAL_BYTES = 1024


class PackageHead(msgspec.Struct, frozen=True):
    """What a package is, before a byte of its files is believed.

    Attributes:
        manifest: what it says of itself.
        seal: its digest and its signer.
        model_yaml: the content of its ``model.yaml``, verified; empty: it has none.
        files_offset: where its files begin, in bytes from the start.
    """

    manifest: PackageManifest
    seal: Seal
    model_yaml: bytes
    files_offset: int


def read_head(file: BinaryIO, options: PackageOptions, source: str) -> PackageHead:
    """Read a package's manifest, seal and ``model.yaml``.

    Laws: the size of the file is exactly that of its manifest's files, so a truncated package is
    refused here; what is beyond a limit is refused before anything of that size is read.

    Args:
        file: the package, at its start.
        options: what is accepted.
        source: what an error calls it.

    Raises:
        LoadFailed: not a package, damaged, over a limit, or not signed as it must be.
        ConfigError: a trusted key cannot be read.
        OSError: the file cannot be read.

    Concurrency: blocks on the file system.
    """
    content = _member(file, MANIFEST_MEMBER, _MAX_HEAD_BYTES, source)
    seal = open_seal(_member(file, SEAL_MEMBER, _MAX_SEAL_BYTES, source), content, source)
    check_signature(seal, content, options.trusted_keys, source)
    manifest = decode_manifest(content, source)
    _check_limits(manifest, options, source)
    offset = file.tell()
    files_bytes = sum(stored_bytes(one.path, one.size_bytes) for one in manifest.files)
    _check_size(file, offset + files_bytes + len(TRAILER), source)
    model_yaml = _model_yaml(file, manifest, source)
    return PackageHead(manifest, seal, model_yaml, offset)


def _member(file: BinaryIO, name: str, max_bytes: int, source: str) -> bytes:
    """A member whose size only its header knows."""
    found = peek(file.read(BLOCK_BYTES))
    if found is None or found[0] != name:
        raise LoadFailed(f"{source}: not a package of Penstock: expected the member '{name}'")
    size_bytes = found[1]
    if size_bytes > max_bytes:
        raise LoadFailed(f"{source}: '{name}' has {size_bytes} bytes, the limit is {max_bytes}")
    content = file.read(size_bytes)
    if len(content) < size_bytes:
        raise LoadFailed(f"{source}: truncated within '{name}'")
    expect(file, padding(size_bytes), source, f"after '{name}'")
    return content


def _model_yaml(file: BinaryIO, manifest: PackageManifest, source: str) -> bytes:
    """The content of ``model.yaml``, which is stored first where there is one."""
    if not manifest.files or manifest.files[0].path != MANIFEST_NAME:
        return b""
    first = manifest.files[0]
    if first.size_bytes > MAX_MANIFEST_BYTES:
        raise LoadFailed(f"{source}: '{first.path}' is larger than {MAX_MANIFEST_BYTES} bytes")
    expect(file, header(first.path, first.size_bytes), source, f"before '{first.path}'")
    content = file.read(first.size_bytes)
    if hashlib.sha256(content).hexdigest() != first.sha256:
        raise LoadFailed(
            f"{source}: '{first.path}' is not the file that the manifest names: "
            "the package was changed or damaged"
        )
    return content


def _check_limits(manifest: PackageManifest, options: PackageOptions, source: str) -> None:
    if len(manifest.files) > options.max_files:
        raise LoadFailed(
            f"{source}: holds {len(manifest.files)} files, "
            f"the limit is {options.max_files} (packages.max_files)"
        )
    if manifest.num_bytes > options.max_bytes:
        raise LoadFailed(
            f"{source}: its files take {manifest.num_bytes} bytes, "
            f"the limit is {options.max_bytes} (packages.max_bytes)"
        )


def _check_size(file: BinaryIO, expected: int, source: str) -> None:
    actual = os.fstat(file.fileno()).st_size
    if actual < expected:
        raise LoadFailed(f"{source}: truncated: expected {expected} bytes, got {actual}")
    if actual > expected:
        raise LoadFailed(f"{source}: {actual - expected} bytes follow its end")
