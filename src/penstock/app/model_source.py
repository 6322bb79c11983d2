"""model_source: the paths of ``penstock serve`` become the Source of its models."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from penstock.app.settings import Settings
from penstock.core.clock import Clock
from penstock.repository.filesystem_source import FileSystemSource
from penstock.repository.package_options import PackageIntake
from penstock.repository.root import is_remote

if TYPE_CHECKING:
    from penstock.repository.remote.mirrored_source import MirroredSource

ModelSource: TypeAlias = "FileSystemSource | MirroredSource"


def model_source(
    paths: Sequence[str], settings: Settings, packages: PackageIntake, clock: Clock
) -> ModelSource:
    """Where models come from: this disk, and stores where a path is a URL.

    What stores need is imported only where one is named.

    Raises:
        ConfigError: there is no path, or a URL is wrong.
    """
    watch = settings.watch.options(settings.model_control)
    if not any(map(is_remote, paths)):
        return FileSystemSource(paths, options=watch, clock=clock, packages=packages)
    from penstock.repository.remote.model_cache import CacheOptions
    from penstock.repository.remote.open_source import SourceOptions, open_source
    from penstock.repository.remote.remote_store import RemoteOptions

    told = settings.remote
    remote = RemoteOptions(
        timeout_s=told.timeout_s,
        attempts=told.attempts,
        initial_backoff_s=told.initial_backoff_s,
        max_backoff_s=told.max_backoff_s,
        allow_unverified=told.allow_unverified,
    )
    cache = CacheOptions(_cache_path(settings.model_cache.path), settings.model_cache.max_bytes)
    return open_source(paths, SourceOptions(watch, remote, cache, packages), clock)


def _cache_path(path: str) -> Path:
    """The folder of the setting, else ``penstock/models`` in the user's cache."""
    if path:
        return Path(path).absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    return Path(cache) / "penstock" / "models"  # expanduser: a user without a home is no error
