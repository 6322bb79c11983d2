"""Write a package: the same files and words give the same bytes, on every machine, at any time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from penstock.core.errors import LoadFailed
from penstock.repository.package_files import copy_hashed
from penstock.repository.package_manifest import (
    PackagedFile,
    PackageManifest,
    encode_manifest,
    stored_order,
)
from penstock.repository.package_path import MANIFEST_MEMBER, SEAL_MEMBER, refuse_paths
from penstock.repository.package_seal import seal
from penstock.repository.package_tar import TRAILER, header, padding


def list_files(sources: Mapping[str, Path]) -> tuple[PackagedFile, ...]:
    """What a manifest says of these files, in the order in which they are stored.

    Args:
        sources: path inside the package to the file on disk; links are followed.

    Raises:
        LoadFailed: a package cannot hold a file of that path, or not these together.
        OSError: a file cannot be read.

    Concurrency: blocks on the file system.
    """
    paths = sorted(sources, key=stored_order)
    why = refuse_paths(paths)
    if why is not None:
        raise LoadFailed(f"{why}: rename it")
    return tuple(_listed(path, sources[path]) for path in paths)


def write_package(
    target: Path,
    manifest: PackageManifest,
    sources: Mapping[str, Path],
    sign_key: Path | None = None,
) -> None:
    """Write a package beside ``target`` and rename it, so that it is there whole or not at all.

    Law: the bytes are a function of the manifest, the files' content and the key.

    Args:
        target: the package to make or to replace.
        manifest: what it says of itself; its ``files`` are those of ``list_files(sources)``.
        sources: as for ``list_files``.
        sign_key: file of the Ed25519 private key to sign with; None: it is not signed.

    Raises:
        LoadFailed: a file changed since it was listed, or the library for signatures is missing.
        ConfigError: the key cannot be used.
        OSError: reading or writing failed.

    Concurrency: blocks on the file system.
    """
    head = encode_manifest(manifest)
    members = ((MANIFEST_MEMBER, head), (SEAL_MEMBER, seal(head, sign_key)))
    partial = target.with_name(f".{target.name}.partial")
    try:
        with partial.open("wb") as sink:
            for name, content in members:
                sink.write(header(name, len(content)) + content + padding(len(content)))
            for one in manifest.files:
                sink.write(header(one.path, one.size_bytes))
                with sources[one.path].open("rb") as file:
                    sha256 = copy_hashed(file, sink, one.size_bytes)
                    is_longer = bool(file.read(1))
                if sha256 != one.sha256 or is_longer:
                    raise LoadFailed(f"'{one.path}' changed while it was packed: pack again")
                sink.write(padding(one.size_bytes))
            sink.write(TRAILER)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _listed(path: str, source: Path) -> PackagedFile:
    with source.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return PackagedFile(path, file.tell(), sha256)
