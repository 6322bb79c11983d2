"""PackagedLoader: a version whose files are in a package until it is loaded."""

from __future__ import annotations

from penstock.core.daemon_thread import on_daemon_thread
from penstock.core.loader import Loader
from penstock.core.resources import ResourceEstimate
from penstock.core.servable import Servable
from penstock.repository.package_hold import PackageHold
from penstock.repository.package_ref import PackageRef


class PackagedLoader:
    """A ``core.Loader`` that unpacks, and keeps the files there as long as the version is loaded.

    Args:
        loader: loads what was unpacked.
        package: the package.
    """

    def __init__(self, loader: Loader, package: PackageRef) -> None:
        self._loader = loader
        self._package = package
        self._hold: PackageHold | None = None

    def estimate(self) -> ResourceEstimate:
        """See ``core.Loader.estimate``."""
        return self._loader.estimate()

    async def load(self) -> Servable:
        """Unpack, every byte verified, then load; see ``core.Loader.load``."""
        hold = await on_daemon_thread(
            self._package.open,
            f"penstock-unpack-{self._package.path.name}",
            drop=PackageHold.release,
        )
        try:
            servable = await self._loader.load()
        except BaseException:
            hold.release()
            raise
        self._hold = hold
        return servable

    async def unload(self) -> None:
        """See ``core.Loader.unload``."""
        hold, self._hold = self._hold, None
        try:
            await self._loader.unload()
        finally:
            if hold is not None:
                hold.release()
