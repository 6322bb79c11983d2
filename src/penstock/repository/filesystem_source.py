"""FileSystemSource: tells which models are in files and folders, and tells again on changes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Sequence

import msgspec

from penstock.core.clock import Clock, SystemClock
from penstock.core.errors import ConfigError
from penstock.core.source import Target
from penstock.repository.artifact import StoredModel
from penstock.repository.manifest_cache import ManifestCache
from penstock.repository.package_options import PackageIntake
from penstock.repository.root import Root
from penstock.repository.settle import Instant
from penstock.repository.survey import Survey, take_survey
from penstock.repository.watcher import Watched, Watcher


class WatchOptions(msgspec.Struct, frozen=True):
    """How changes are noticed.

    Attributes:
        settle_s: a version counts once it has been quiet for this long, in seconds; 0: at once.
        poll_interval_s: looks are taken at least this often, in seconds, > 0, in case an event
            got lost.
        watch: whether to follow changes; False: the first truth is the only one, once every
            file of it is quiet.
        force_polling: never ask for file system events, where they do not come (some network
            and container mounts).
        event_delay_s: events are asked for only this long after the first truth, in seconds, so
            that loading that library does not slow the first prediction. No change is lost.
    """

    settle_s: float = 1.0
    poll_interval_s: float = 5.0
    watch: bool = True
    force_polling: bool = False
    event_delay_s: float = 1.0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: one is out of range.
        """
        if self.settle_s < 0 or self.event_delay_s < 0 or self.poll_interval_s <= 0:
            raise ConfigError("settle_s and event_delay_s must be >= 0, poll_interval_s > 0")


class FileSystemSource:
    """A Source of what is in files and folders.

    Args:
        paths: artifact files (``model.onnx``, ``app.py:Class``), packages (``fraud.pst``), model
            folders or repository folders, in any mixture.
        options: how changes are noticed.
        clock: where time comes from.
        packages: how packages are taken in; None: unsigned too, to the default folder.

    Raises:
        ConfigError: no path, or an empty one. Paths are looked at later.
    """

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        *,
        options: WatchOptions | None = None,
        clock: Clock | None = None,
        packages: PackageIntake | None = None,
    ) -> None:
        if not paths:
            raise ConfigError("no path: expected a model file, a model folder or a repository")
        self._roots = tuple(Root.parse(path) for path in paths)
        self._options = options or WatchOptions()
        self._clock = clock or SystemClock()
        self._packages = packages
        self._quiet = asyncio.Event()
        self._changed = asyncio.Event()
        self._scan_cache = ManifestCache(self._clock.wall_ns, packages)
        self._scan_lock = threading.Lock()
        self._scanned = Survey()  # guarded by: self._scan_lock

    def scan(self) -> list[StoredModel]:
        """Look at everything now and believe all of it, quiet or not.

        A root that was there at an earlier scan and is not now keeps its last truth.

        Returns:
            Every model, by name.

        Raises:
            ConfigError: at the first scan, a path does not exist, cannot be read or is no model;
                or two models of one name, naming both paths.

        Concurrency: any thread; blocks on the file system and on another call under way.
        """
        with self._scan_lock:
            self._scanned = self._survey(self._scanned, self._scan_cache, 0.0)
            return self._scanned.models

    async def run(self, target: Target[StoredModel]) -> None:
        """Tell ``target`` at once what is there and quiet, then again on each change.

        The first look is taken on the event loop's thread, all others off it.

        Raises:
            ConfigError: at the first look, as ``scan``.
        """
        cache, changed = ManifestCache(self._clock.wall_ns, self._packages), self._changed
        state = self._survey(Survey(), cache, self._options.settle_s)
        target.set_aspired(state.models)
        if state.wait_s is None:
            self._quiet.set()
        watcher = Watcher(changed.set, self._options.event_delay_s)
        try:
            while True:
                if self._options.watch and not self._options.force_polling:
                    await watcher.follow(_watched(state))
                await self._pause(changed, state.wait_s)
                before = state.models
                state = await asyncio.to_thread(self._survey, state, cache, self._options.settle_s)
                if state.models != before:
                    target.set_aspired(state.models)
                if state.wait_s is None and not changed.is_set():
                    self._quiet.set()
        finally:
            await watcher.aclose()

    def look_again(self) -> None:
        """Have ``run`` look at once: somebody knows that files changed.

        Concurrency: event loop's thread.
        """
        self._quiet.clear()
        self._changed.set()

    async def wait_quiet(self, timeout_s: float) -> None:
        """Wait until ``run`` has told of everything it found and holds nothing back any more.

        A folder that somebody writes to without end is waited for no longer than ``timeout_s``
        seconds.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._quiet.wait()

    async def _pause(self, changed: asyncio.Event, wait_s: float | None) -> None:
        """Wait for an event, for what is held back, or for the next poll."""
        options = self._options
        timeout_s = options.poll_interval_s if options.watch else None
        if wait_s is not None:
            timeout_s = min(wait_s, options.poll_interval_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await changed.wait()
        changed.clear()

    def _survey(self, before: Survey, cache: ManifestCache, settle_s: float) -> Survey:
        """Look at all roots."""
        now = Instant(self._clock.wall_ns(), self._clock.monotonic_ns())
        return take_survey(self._roots, before, cache, now, settle_s)


def _watched(state: Survey) -> list[Watched]:
    """What to ask events for: the roots that are there."""
    return [
        Watched(root.path, look.inode if look.is_folder else 0, look.is_folder)
        for root, look in state.roots.items()
        if root not in state.missing
    ]
