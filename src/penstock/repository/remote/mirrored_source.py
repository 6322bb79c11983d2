"""MirroredSource: a FileSystemSource some of whose folders are brought from elsewhere."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from penstock.core.daemon_thread import on_daemon_thread
from penstock.core.ids import ServableId
from penstock.core.source import Target
from penstock.repository.artifact import BadArtifact, StoredModel
from penstock.repository.filesystem_source import FileSystemSource, WatchOptions
from penstock.repository.fingerprint import fingerprint
from penstock.repository.manifest import Manifest
from penstock.repository.remote.mirror import Mirror, UnitFailure
from penstock.repository.remote.model_cache import ModelCache
from penstock.repository.remote.unit_folder import UnitFolder

_QUIET_S = 10.0
"""How long the files of a first look may take to be told of."""


class MirroredSource:
    """A Source of what is at URLs and on this disk.

    Files of this disk are told of at once; an address as soon as it was brought. A version that
    cannot be brought is told of with its error.

    Args:
        files: the source of this disk, which looks at the folders of ``mirrors`` too.
        mirrors: the addresses, and where each is brought to.
        cache: where downloads are kept.
        run: the folder of this server in it.
        options: how often to look.
    """

    def __init__(
        self,
        files: FileSystemSource,
        mirrors: Mapping[Mirror, UnitFolder],
        cache: ModelCache,
        run: Path,
        options: WatchOptions,
    ) -> None:
        self._files = files
        self._mirrors = mirrors
        self._cache = cache
        self._run = run
        self._options = options
        self._open_lock = threading.Lock()
        self._is_open = False  # guarded by: self._open_lock
        self._first: dict[Mirror, asyncio.Event] = {mirror: asyncio.Event() for mirror in mirrors}

    def scan(self) -> list[StoredModel]:
        """Look at every address and at the disk now, and believe all of it; see FileSystemSource.

        Raises:
            ConfigError: as ``FileSystemSource.scan``.
            LoadFailed: an address was never reached.

        Concurrency: any thread; blocks on the network, and on another look under way.
        """
        self._open()
        for mirror in self._mirrors:
            mirror.look(believe=True)
        return _with_failures(self._files.scan(), self._failures())

    async def run(self, target: Target[StoredModel]) -> None:
        """Tell ``target`` what is there, then again on each change.

        Raises:
            ConfigError: a path is wrong, or a package for an address is not installed.
            LoadFailed: nothing of an address could be brought at the first look.
        """
        await on_daemon_thread(self._open, "penstock-cache")
        teller = _Teller(target, self._failures)
        tasks = [asyncio.create_task(self._files.run(teller))]
        tasks += [asyncio.create_task(self._follow(mirror, teller)) for mirror in self._mirrors]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def wait_quiet(self, timeout_s: float) -> None:
        """Wait until every address was brought once, however long it takes, and told of.

        What the disk holds back then is waited for no longer than ``timeout_s`` seconds, or ten.
        """
        for event in self._first.values():
            await event.wait()
        await self._files.wait_quiet(max(timeout_s, _QUIET_S))

    async def _follow(self, mirror: Mirror, teller: _Teller) -> None:
        """Look at one address again and again; each look on a thread that no exit waits for."""
        options, is_open = self._options, True
        believe = options.settle_s == 0
        while is_open:
            look = await on_daemon_thread(lambda: mirror.look(believe=believe), "penstock-mirror")
            if look.is_changed:
                self._files.look_again()
            teller.tell()
            if not look.is_held:
                self._first[mirror].set()
            is_open = options.watch or look.is_held
            pause_s = options.poll_interval_s
            await asyncio.sleep(min(options.settle_s, pause_s) if look.is_held else pause_s)

    def _failures(self) -> list[UnitFailure]:
        return [failure for mirror in self._mirrors for failure in mirror.failures]

    def _open(self) -> None:
        """Make this server's folders, once. Blocks.

        Raises:
            LoadFailed: the cache cannot be written.
        """
        with self._open_lock:
            if self._is_open:
                return
            handle = self._cache.open_run(self._run)
            weakref.finalize(self, os.close, handle)
            for folder in self._mirrors.values():
                folder.open()
            self._is_open = True


class _Teller:
    """Adds to what the files tell what could not be brought."""

    def __init__(
        self, target: Target[StoredModel], failures: Callable[[], Sequence[UnitFailure]]
    ) -> None:
        self._target = target
        self._failures = failures
        self._models: Sequence[StoredModel] | None = None
        self._told: Sequence[StoredModel] = ()

    def set_aspired(self, models: Sequence[StoredModel]) -> None:
        """Take what the files tell."""
        self._models = models
        self.tell(is_new=True)

    def tell(self, *, is_new: bool = False) -> None:
        """Tell the target, if there is something new."""
        if self._models is None:
            return
        told = _with_failures(self._models, self._failures())
        if is_new or _summary(told) != _summary(self._told):
            self._told = told
            self._target.set_aspired(told)


def _with_failures(
    models: Sequence[StoredModel], failures: Sequence[UnitFailure]
) -> list[StoredModel]:
    """The models, and what could not be brought of them; a version that serves stays."""
    by_name = {model.name: model for model in models}
    for failure in failures:
        name = failure.unit.model
        model = by_name.get(name) or StoredModel(name, Manifest())
        by_name[name] = _failed(model, failure)
    return [by_name[name] for name in sorted(by_name)]


def _failed(model: StoredModel, failure: UnitFailure) -> StoredModel:
    """A model with one failure."""
    number = failure.unit.version
    if number is None:
        return msgspec.structs.replace(model, error=model.error or failure.error)
    if any(version.id.version == number for version in model.versions):
        return model
    revision = fingerprint((), failure.error.message.encode())
    bad = BadArtifact(ServableId(model.name, number), revision, failure.error)
    versions = sorted((*model.versions, bad), key=lambda version: version.id.version)
    return msgspec.structs.replace(model, versions=tuple(versions))


def _summary(models: Sequence[StoredModel]) -> list[tuple[str, str, tuple[str, ...]]]:
    """What tells two truths apart; errors compare by their text."""
    return [
        (model.name, str(model.error), tuple(f"{v.id} {v.revision}" for v in model.versions))
        for model in models
    ]
