"""What the tests of remote sources share: bring a URL to a folder, look at what came."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from penstock.repository.package_options import PackageOptions
from penstock.repository.remote.mirror import Mirror
from penstock.repository.remote.model_cache import CacheOptions, ModelCache
from penstock.repository.remote.open_store import open_store
from penstock.repository.remote.remote_store import RemoteOptions, RemoteStore
from penstock.repository.remote.remote_url import parse_remote_url
from penstock.repository.remote.unit_folder import UnitFolder
from tests.unit.repository.fake_disk import FakeClock

AT_ONCE = RemoteOptions(timeout_s=5, attempts=3, initial_backoff_s=0, max_backoff_s=0)
"""Never waits between attempts."""


class Bringer:
    """A server's part of a cache.

    Attributes:
        clock: its time, to be stepped.
        path: the cache's folder.
    """

    def __init__(self, path: Path, max_bytes: int = 10**9) -> None:
        self.clock = FakeClock()
        self.path = path
        self.cache = ModelCache(CacheOptions(path, max_bytes), self.clock)
        self.run = self.cache.run_folder()
        self.handle = self.cache.open_run(self.run)

    def mirror(
        self, url: str, store: RemoteStore | None = None, options: RemoteOptions = AT_ONCE
    ) -> tuple[Mirror, Path]:
        """A mirror of an address, and the folder it brings it to."""
        parsed = parse_remote_url(url)
        number = len(list(self.run.iterdir()))
        folder = UnitFolder(self.run / str(number), self.run / f".{number}", PackageOptions())
        folder.open()

        def opened() -> RemoteStore:
            return store or open_store(parsed, options)

        return Mirror(parsed, opened, self.cache, folder, options, self.clock), folder.root

    def bring(self, url: str, **more: Any) -> dict[str, bytes]:
        """What came of an address after one look that is believed."""
        mirror, root = self.mirror(url, **more)
        mirror.look(believe=True)
        return contents(root)

    @property
    def blobs(self) -> int:
        """How many files the cache keeps."""
        return len(list((self.path / "blobs").iterdir()))


def contents(root: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}
