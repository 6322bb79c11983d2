"""open_source: paths and URLs become one Source."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec

from penstock.core.clock import Clock
from penstock.repository.filesystem_source import FileSystemSource, WatchOptions
from penstock.repository.package_options import PackageIntake
from penstock.repository.remote.mirror import Mirror
from penstock.repository.remote.mirrored_source import MirroredSource
from penstock.repository.remote.model_cache import CacheOptions, ModelCache
from penstock.repository.remote.open_store import open_store
from penstock.repository.remote.remote_store import RemoteOptions
from penstock.repository.remote.remote_url import parse_remote_url
from penstock.repository.remote.unit_folder import UnitFolder
from penstock.repository.root import is_remote


class SourceOptions(msgspec.Struct, frozen=True):
    """How models are found and brought.

    Attributes:
        watch: how often to look.
        remote: how stores are talked to.
        cache: where downloads are kept.
        packages: how packages are taken in.
    """

    watch: WatchOptions
    remote: RemoteOptions
    cache: CacheOptions
    packages: PackageIntake


def open_source(paths: Sequence[str], options: SourceOptions, clock: Clock) -> MirroredSource:
    """The source of some paths, URLs among them. Touches neither disk nor network.

    Args:
        paths: files, folders and URLs, in any mixture.
        options: how.
        clock: where time comes from.

    Raises:
        ConfigError: a URL is wrong.
    """
    cache = ModelCache(options.cache, clock)
    run = cache.run_folder()
    urls = [parse_remote_url(path) for path in paths if is_remote(path)]
    mirrors = {}
    for number, url in enumerate(urls):
        folder = UnitFolder(run / str(number), run / f".{number}", options.packages.options)
        opener = partial(open_store, url, options.remote)
        mirrors[Mirror(url, opener, cache, folder, options.remote, clock)] = folder
    local = [path for path in paths if not is_remote(path)]
    files = FileSystemSource(
        [*local, *(folder.root for folder in mirrors.values())],
        options=options.watch,
        clock=clock,
        packages=options.packages,
    )
    return MirroredSource(files, mirrors, cache, run, options.watch)
