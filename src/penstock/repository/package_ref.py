"""PackageRef: where a version comes from that is not unpacked yet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from penstock.core.errors import LoadFailed
from penstock.repository.package_options import PackageIntake

if TYPE_CHECKING:
    from penstock.repository.package_hold import PackageHold


class PackageRef(msgspec.Struct, frozen=True):
    """A package that was looked at.

    Attributes:
        path: the package.
        folder: where its files will be once it is unpacked.
        intake: how it is taken in.
    """

    path: Path
    folder: Path
    intake: PackageIntake

    def open(self) -> PackageHold:
        """Bring the files to ``folder``, every byte verified, and make room for them. Blocks.

        Returns:
            What keeps them there; to be released once nothing is loaded from them.

        Raises:
            LoadFailed: as ``package_store.unpack``; also retryable where the package was replaced
                since it was looked at.
            ConfigError: a trusted key cannot be read.
        """
        from penstock.repository.package_hold import trim
        from penstock.repository.package_store import open_package

        hold = open_package(self.path, self.intake.cache, self.intake.options)
        if hold.folder.absolute() != self.folder:
            hold.release()
            raise LoadFailed(f"{self.path}: was replaced since it was looked at", retryable=True)
        trim(self.intake.cache, self.intake.max_cache_bytes)
        return hold
