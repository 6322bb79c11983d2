"""The package store: a folder of unpacked packages, each under the digest of its content.

Nothing is served from it that was not compared with the package, file by file, just before.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Container
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from penstock.core.errors import LoadFailed, may_pass
from penstock.repository.package_files import hash_file, write_files
from penstock.repository.package_head import PackageHead, read_head
from penstock.repository.package_hold import PackageHold, locked, remove
from penstock.repository.package_manifest import PackageManifest
from penstock.repository.package_options import PackageOptions

_log = logging.getLogger(__name__)


def unpack(path: Path, cache: Path, options: PackageOptions) -> Path:
    """The folder of the version that a package holds, every byte of it verified.

    Laws: the folder is there under its name only once it is whole; a folder that is half, changed
    or has more in it than the package is made anew; nothing is written outside of ``cache``; a
    package that is refused leaves no file of its own there.

    Args:
        path: the package.
        cache: the store; made where it is not there. Nobody else may have the right to write to
            it: what is verified here is read again by who loads it.
        options: what is accepted.

    Returns:
        ``cache / content_sha256``, read-only files. It may be removed when nothing is loaded
        from it; the next call makes it again.

    Raises:
        LoadFailed: the package is damaged, over a limit or not signed as it must be, or there is
            no room; retryable where the same package may unpack later.
        ConfigError: a trusted key cannot be read.

    Concurrency: any thread or process; blocks on the file system, and on another call that unpacks
    the same content.
    """
    hold = open_package(path, cache, options)
    hold.release()
    return hold.folder


def open_package(path: Path, cache: Path, options: PackageOptions) -> PackageHold:
    """As ``unpack``; the folder is not removed to make room before it is released."""
    source = str(path)
    try:
        with path.open("rb") as file:
            head = read_head(file, options, source)
            folder = folder_of(head.manifest, cache)
            cache.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locked(folder):
                if not _is_whole(folder, head.manifest):
                    _make(folder, file, head, source)
                return PackageHold(folder)
    except OSError as err:
        raise LoadFailed(
            f"{source}: cannot be unpacked to {cache}: {err.strerror or err}",
            retryable=may_pass(err),
        ) from err


def folder_of(manifest: PackageManifest, cache: Path) -> Path:
    """Where a package's files are, or will be. Pure."""
    return cache / manifest.content_sha256


def _make(folder: Path, file: BinaryIO, head: PackageHead, source: str) -> None:
    """Unpack beside ``folder`` and rename. What a killed process left half done is removed."""
    partial = folder.with_suffix(".partial")
    remove(partial)
    _check_room(folder.parent, head.manifest.num_bytes, source)
    partial.mkdir(mode=0o700)
    try:
        write_files(file, head, source, partial)
        remove(folder)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _is_whole(folder: Path, manifest: PackageManifest) -> bool:
    """Whether a folder holds the package's files and nothing else."""
    if not os.path.lexists(folder):
        return False
    try:
        is_whole = _holds(folder, manifest)
    except OSError:
        is_whole = False
    if not is_whole:
        _log.warning("%s was changed or is incomplete: it is unpacked again", folder)
    return is_whole


def _holds(folder: Path, manifest: PackageManifest) -> bool:
    """Whether a folder holds exactly a package's files.

    A link counts for nothing: one to a folder is not entered, one to a file not read.
    """
    files = {file.path: file.sha256 for file in manifest.files}
    folders = {str(parent) for path in files for parent in PurePosixPath(path).parents}
    if folder.is_symlink():
        return False
    _remove_bytecode(folder, folders)
    found = 0
    for parent, inside, names in os.walk(folder):
        here = Path(parent).relative_to(folder)
        if any((here / name).as_posix() not in folders for name in inside):
            return False
        if any(files.get((here / n).as_posix()) != hash_file(folder / here / n) for n in names):
            return False
        found += len(names)
    return found == len(files)


def _remove_bytecode(folder: Path, folders: Container[str]) -> None:
    """Remove what Python left when it ran: it is part of no package, and would be run again."""
    for path in list(folder.rglob("__pycache__")):
        if path.relative_to(folder).as_posix() not in folders:
            remove(path)


def _check_room(cache: Path, wanted_bytes: int, source: str) -> None:
    """Refuse what the disk has no room for before it is filled."""
    free_bytes = shutil.disk_usage(cache).free
    if wanted_bytes > free_bytes:
        raise LoadFailed(
            f"{source}: its files take {wanted_bytes} bytes, {cache} has room for {free_bytes}: "
            "make room, or set packages.cache to another disk",
            retryable=True,
        )
