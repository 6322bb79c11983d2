"""What is accepted of packages, and where they are unpacked."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from penstock.repository.listing import MAX_ENTRIES

PACKAGE_ENDING = ".pst"


class PackageOptions(msgspec.Struct, frozen=True):
    """What is accepted of a package.

    Attributes:
        trusted_keys: files of Ed25519 public keys, PEM: one of them must have signed it; empty:
            signatures are not looked at.
        max_bytes: the most that all its files may take.
        max_files: the most files it may hold.
        require_signed: whether nothing but packages that one of the keys signed is served.
    """

    trusted_keys: tuple[Path, ...] = ()
    max_bytes: int = 64 * 1024**3
    max_files: int = MAX_ENTRIES
    require_signed: bool = False


class PackageIntake(msgspec.Struct, frozen=True):
    """How a server takes packages in.

    Attributes:
        cache: the folder they are unpacked to.
        options: what is accepted.
        max_cache_bytes: the most the cache may take; what nothing is loaded from is removed, what
            was opened longest ago first.
    """

    cache: Path
    options: PackageOptions = PackageOptions()
    max_cache_bytes: int = 64 * 1024**3


def default_cache() -> Path:
    """``$XDG_CACHE_HOME/penstock/packages``, else the same in ``~/.cache``."""
    place = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    return Path(place) / "penstock" / "packages"  # expanduser: a user without a home is no error
