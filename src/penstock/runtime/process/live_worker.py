"""LiveWorker: one worker from its start until it is gone: its process, its load, its pings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from penstock.core.errors import LoadFailed
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.process.channel import FromWorker
from penstock.runtime.process.frame import (
    PROTOCOL_VERSION,
    BadFrame,
    Failed,
    Hello,
    Loaded,
    Ping,
    Pong,
    ToServer,
)
from penstock.runtime.process.load_message import load_message
from penstock.runtime.process.reaper_process import ReaperProcess
from penstock.runtime.process.wire_error import error_in
from penstock.runtime.process.worker_options import WorkerOptions
from penstock.runtime.process.worker_process import WorkerProcess
from penstock.runtime.process.worker_source import WorkerOwner


class LiveWorker:
    """A worker.

    Args:
        artifact: what it loads.
        options: how it is started.
        reaper: who ends it if we cannot.
        owner: told when it is connected, and what it says.
        on_end: told once when it is gone, with the reason.

    Concurrency: the event loop's thread.
    """

    def __init__(
        self,
        artifact: ArtifactRef,
        options: WorkerOptions,
        reaper: ReaperProcess,
        owner: WorkerOwner,
        on_end: Callable[[str], None],
    ) -> None:
        self._artifact = artifact
        self._id = artifact.id
        self._options = options
        self._owner = owner
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._loaded: asyncio.Future[Loaded] = self._loop.create_future()
        self._pong: asyncio.Future[None] | None = None
        self._channel: FromWorker | None = None
        self._process = WorkerProcess(
            artifact.id,
            options,
            reaper,
            on_message=self._take,
            on_end=self._end,
            on_lost=owner.lost,
        )

    @property
    def pid(self) -> int:
        """The process; 0 before ``start``."""
        return self._process.pid

    async def start(self) -> Loaded:
        """Start the process and load the model.

        Raises:
            LoadFailed: the process could not be started, died, was too slow, or could not load.
        """
        self._channel = self._process.start()
        limit_s = self._options.start_timeout_s
        try:
            return await asyncio.wait_for(asyncio.shield(self._loaded), limit_s)
        except TimeoutError:
            self._process.kill(f"it did not load its model within {limit_s:g} s")
            return await self._loaded
        except asyncio.CancelledError:
            self._process.kill("its load was called off")
            raise

    async def ping(self, timeout_s: float) -> bool:
        """Whether it answers; only asked while it is not busy."""
        self._pong = self._loop.create_future()
        if self._channel is not None:
            self._channel.send(Ping())
        try:
            await asyncio.wait_for(self._pong, timeout_s)
        except TimeoutError:
            return self._owner.is_busy  # work came in between: its own clock holds
        return True

    def kill(self, why: str) -> None:
        """End it now."""
        self._process.kill(why)

    async def close(self, timeout_s: float, why: str) -> None:
        """Let it end by itself for so long, then kill it; ``on_end`` is told ``why``."""
        await self._process.close(timeout_s, why)

    def _take(self, message: ToServer, body: memoryview) -> None:
        """Handle what the worker says.

        Raises:
            BadFrame: it makes no sense now.
        """
        if isinstance(message, Pong):
            if self._pong is not None and not self._pong.done():
                self._pong.set_result(None)
        elif self._loaded.done():
            self._owner.take(message, body)
        elif isinstance(message, Hello):
            self._greet(message)
        elif isinstance(message, Loaded):
            self._loaded.set_result(message)
        elif isinstance(message, Failed):
            self._loaded.set_exception(error_in(message.error))
        else:
            self._owner.take(message, body)

    def _greet(self, hello: Hello) -> None:
        channel = self._channel
        if channel is None:
            raise BadFrame("a greeting before the start")
        if hello.protocol == PROTOCOL_VERSION:
            self._owner.connected(channel)
            channel.send(load_message(self._artifact, self._options.cpus))
            return
        text = (
            f"{self._id}: penstock {hello.penstock} in its own environment speaks to workers in "
            f"version {hello.protocol}, this server in {PROTOCOL_VERSION}: install the same "
            "penstock there"
        )
        self._loaded.set_exception(LoadFailed(text))
        self._process.kill("it speaks another version")

    def _end(self, why: str) -> None:
        """The process is gone."""
        if self._pong is not None and not self._pong.done():
            self._pong.set_result(None)
        if not self._loaded.done():
            self._loaded.set_exception(self._died_loading(why))
            self._loaded.exception()  # read, in case nobody waits any more
        self._on_end(why)

    def _died_loading(self, why: str) -> LoadFailed:
        words = " | ".join(self._process.last_words)
        if "No module named penstock" in words or "No module named 'penstock'" in words:
            return LoadFailed(
                f"{self._id}: there is no penstock in its own environment: "
                f"{self._options.python} -m pip install penstock"
            )
        more = f"; its last words: {words}" if words else ""
        return LoadFailed(f"{self._id}: its worker died while it loaded the model: {why}{more}")
