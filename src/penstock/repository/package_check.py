"""Check a package from the first byte to the last, without unpacking it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from penstock.core.errors import ConfigError
from penstock.repository.package_files import read_files
from penstock.repository.package_head import PackageHead, read_head
from penstock.repository.package_options import PackageOptions


class PackageReport(msgspec.Struct, frozen=True):
    """A package that is whole.

    Attributes:
        head: what it says of itself.
        file_sha256: digest of the package's file, as ``sha256sum`` prints it.
        file_bytes: size of the package's file.
    """

    head: PackageHead
    file_sha256: str
    file_bytes: int


def check_package(path: Path, trusted_keys: tuple[Path, ...] = ()) -> PackageReport:
    """Verify every digest, and the signature where keys are given.

    Raises:
        LoadFailed: it is damaged, no package, or none of the keys signed it.
        ConfigError: it, or a key, cannot be read.

    Concurrency: blocks on the file system.
    """
    try:
        with path.open("rb") as file:
            head = read_head(file, PackageOptions(trusted_keys), str(path))
            read_files(file, head, str(path))
            file_bytes = file.tell()
            file.seek(0)
            file_sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as err:
        raise ConfigError(f"{path}: cannot be read: {err.strerror or err}") from err
    return PackageReport(head, file_sha256, file_bytes)
