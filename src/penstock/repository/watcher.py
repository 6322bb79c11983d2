"""Watcher: hears of changes below some paths by file system events, where there are any."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

_log = logging.getLogger(__name__)
_STEP_MS = 50


class Watched(NamedTuple):
    """One thing to watch.

    Attributes:
        path: a folder, watched with all below, or a file.
        inode: its identity: a folder that was replaced must be watched afresh.
        is_folder: which of the two.
    """

    path: Path
    inode: int
    is_folder: bool


class Watcher:
    """Calls ``notify`` on changes. Events may be missing or come too often: they are hints.

    Args:
        notify: called on the event loop after changes, and once when events start to come,
            because what changed before that was not heard.
        delay_s: the first events are listened for only after this long.

    Concurrency: event loop's thread only.
    """

    def __init__(self, notify: Callable[[], None], delay_s: float) -> None:
        self._notify = notify
        self._delay_s = delay_s
        self._watched: frozenset[Watched] = frozenset()
        self._task: asyncio.Task[None] | None = None

    async def follow(self, things: Iterable[Watched]) -> None:
        """Watch these and nothing else; does nothing when they are the same as before."""
        watched = frozenset(things)
        if watched == self._watched:
            return
        await self.aclose()
        self._watched = watched
        self._task = asyncio.create_task(self._watch(watched))

    async def aclose(self) -> None:
        """Watch nothing more."""
        task, self._task, self._watched = self._task, None, frozenset()
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _watch(self, watched: frozenset[Watched]) -> None:
        await asyncio.sleep(self._delay_s)
        self._delay_s = 0.0
        folders = {thing.path for thing in watched if thing.is_folder}
        files = {thing.path.absolute() for thing in watched if not thing.is_folder}
        async with asyncio.TaskGroup() as tasks:
            if folders:
                tasks.create_task(self._listen(folders, frozenset()))
            if files:
                tasks.create_task(self._listen({f.parent for f in files}, frozenset(files)))

    async def _listen(self, folders: set[Path], files: frozenset[Path]) -> None:
        """Turn events into calls of ``notify``; with ``files``, only events of those."""
        names = {str(file) for file in files}
        try:
            await self._notify_on_events(folders, names)
        except (ImportError, OSError, RuntimeError) as err:
            paths = ", ".join(sorted(str(folder) for folder in folders))
            _log.warning("no file events for %s, polling only: %s", paths, err)

    async def _notify_on_events(self, folders: set[Path], names: set[str]) -> None:
        watchfiles = await asyncio.to_thread(importlib.import_module, "watchfiles")
        changes = watchfiles.awatch(
            *folders,
            watch_filter=(lambda _, path: path in names) if names else None,
            step=_STEP_MS,
            recursive=not names,
            force_polling=False,
            ignore_permission_denied=True,
        )
        # awatch starts to listen before it first waits, so this runs when events do come.
        asyncio.get_running_loop().call_soon(self._notify)
        async with contextlib.aclosing(changes):
            async for _ in changes:
                self._notify()
