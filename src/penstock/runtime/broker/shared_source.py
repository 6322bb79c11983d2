"""SharedSource: a copy's worker that other serving processes use, too."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable

from penstock.core.errors import LoadFailed, NotReady, PenstockError
from penstock.repository.artifact import ArtifactRef
from penstock.runtime.broker.connection import GONE, BrokerConnection
from penstock.runtime.broker.frames import (
    Acquire,
    Answered,
    Faulted,
    Given,
    Gone,
    Kill,
    Ready,
    Refused,
    Release,
    Released,
    ToGuest,
)
from penstock.runtime.process.channel import Channel, FromWorker, decode_from_worker
from penstock.runtime.process.frame import Loaded
from penstock.runtime.process.load_message import load_message
from penstock.runtime.process.state_file import StateFile
from penstock.runtime.process.wire_error import error_in
from penstock.runtime.process.worker_source import ASKED, WorkerOwner

_log = logging.getLogger("penstock.runtime")

_EXIT_GRACE_S = 0.25
_START_GRACE_S = 10.0
"""The broker gives a start up in time, and says so; this is for one that says nothing."""
_FIRST_DELAY_S = 0.5
_MAX_DELAY_S = 30.0
_NO_DESCRIPTORS = (
    "its worker's socket could not be taken: this process has no file descriptors left; raise its "
    "limit (ulimit -n)"
)


class SharedSource:
    """A ``WorkerSource`` whose workers a broker keeps.

    Once started it has a seat, or tries again and again to get one, until it is closed.

    Args:
        connect: gives the line to the broker, a new one if the last was lost; raises LoadFailed.
        artifact: what the worker loads.
        index: which copy of it.
        owner: told what becomes of it.
        start_timeout_s: how long the broker lets a worker load its model.

    Concurrency: the event loop's thread.
    """

    ends_hangs = True

    def __init__(
        self,
        connect: Callable[[], Awaitable[BrokerConnection]],
        artifact: ArtifactRef,
        index: int,
        owner: WorkerOwner,
        start_timeout_s: float,
    ) -> None:
        self.pid = 0
        self._id = artifact.id
        self._connect = connect
        self._start_timeout_s = start_timeout_s
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._index = index
        self._load = load_message(artifact)
        self._connection: BrokerConnection | None = None
        self._seat = 0
        self._number = 0
        self._has_answered = False
        self._is_closed = False
        self._delay_s = _FIRST_DELAY_S
        self._rejoining: asyncio.Task[None] | None = None
        self._channel: FromWorker | None = None
        self._state: StateFile | None = None
        self._ready: asyncio.Future[Loaded] = self._loop.create_future()
        self._released = asyncio.Event()

    @property
    def is_elsewhere(self) -> bool:
        """See ``WorkerSource.is_elsewhere``."""
        return self._state is not None and self._state.read().channel not in (0, self._number)

    def has_begun(self, batch: int) -> bool:
        """See ``WorkerSource.has_begun``."""
        return self._state is None or self._state.begun(self._number) >= batch

    async def start(self) -> Loaded:
        """See ``WorkerSource.start``."""
        limit_s = self._start_timeout_s + _START_GRACE_S
        try:
            async with asyncio.timeout(limit_s):
                await self._join()
                return await self._ready
        except TimeoutError:
            text = f"{self._id}: the process that starts its workers had none within {limit_s:g} s"
            raise LoadFailed(text, retryable=True) from None

    def kill(self, why: str) -> None:
        """See ``WorkerSource.kill``."""
        self._kill(self._number, why)

    def answered(self) -> None:
        """See ``WorkerSource.answered``; said once in a worker's life."""
        if self._connection is not None and self._seat and not self._has_answered:
            self._has_answered = True
            self._connection.send(Answered(self._seat, self._number))

    async def close(self, timeout_s: float, why: str = ASKED) -> None:
        """See ``WorkerSource.close``."""
        self._is_closed = True
        if self._rejoining is not None:
            self._rejoining.cancel()
        self._fail_start(why)
        connection, seat = self._connection, self._seat
        if connection is None or not seat:
            return
        self._seat = 0
        connection.send(Release(seat))
        self._hang_up(why, is_counted=False)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._released.wait(), timeout_s)
        connection.forget(seat)

    def heard(self, message: ToGuest, fds: list[int]) -> None:
        """See ``SeatHolder.heard``."""
        if isinstance(message, Given):
            self._given(message, fds)
        elif isinstance(message, Ready):
            self._up(message.loaded)
        elif isinstance(message, Refused):
            self._lose_seat(error_in(message.error))
        elif isinstance(message, Gone):
            self._hang_up(message.why, is_counted=message.is_counted)
        elif isinstance(message, Faulted):
            fault = error_in(message.error)
            self._owner.faulted(NotReady(fault.message, retry_after_s=fault.retry_after_s))
        elif isinstance(message, Released):
            self._released.set()

    def deserted(self) -> None:
        """See ``SeatHolder.deserted``."""
        self._released.set()
        self._hang_up(GONE, is_counted=False)
        self._lose_seat(LoadFailed(f"{self._id}: {GONE}", retryable=True))

    async def _join(self) -> None:
        """Ask for a seat.

        Raises:
            LoadFailed: nobody is there to give one, or it is not wanted any more.
        """
        connection = await self._connect()
        if self._is_closed:
            raise LoadFailed(f"{self._id}: {ASKED}")
        self._released.clear()
        self._connection, self._seat = connection, connection.seat(self)
        connection.send(Acquire(self._seat, self._index, self._load))

    def _lose_seat(self, error: PenstockError) -> None:
        """There is no seat: a start has failed; after one, another is tried for, by and by."""
        if self._connection is not None:
            self._connection.forget(self._seat)
        self._seat = 0
        if self._is_closed:
            return
        if not self._ready.done():
            self._ready.set_exception(error)
            return
        self._owner.faulted(NotReady(error.message, retry_after_s=self._delay_s))
        self._rejoining = self._loop.create_task(
            self._rejoin(self._delay_s), name=f"penstock seat {self._id}"
        )
        self._delay_s = min(2 * self._delay_s, _MAX_DELAY_S)

    async def _rejoin(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        try:
            await self._join()
        except PenstockError as err:
            self._lose_seat(err)

    def _fail_start(self, why: str) -> None:
        if not self._ready.done():
            self._ready.set_exception(LoadFailed(f"{self._id}: {why}", retryable=True))
            self._ready.exception()  # read, in case nobody waits

    def _up(self, loaded: Loaded) -> None:
        self._delay_s = _FIRST_DELAY_S
        if not self._ready.done():
            self._ready.set_result(loaded)
        elif not self._is_closed:
            self._owner.up(loaded)

    def _given(self, given: Given, fds: list[int]) -> None:
        """Take a new worker. The kernel drops descriptors that this process has no room for."""
        if len(fds) == 2 and not self._is_closed:
            self._meet(given, *fds)
            return
        for fd in fds:
            os.close(fd)
        if self._connection is not None and self._seat:
            _log.error("%s: %s", self._id, _NO_DESCRIPTORS)
            self._connection.send(Release(self._seat))
            self._lose_seat(LoadFailed(f"{self._id}: {_NO_DESCRIPTORS}", retryable=True))

    def _meet(self, given: Given, worker_fd: int, state_fd: int) -> None:
        self._number, self.pid = given.channel, given.pid
        self._has_answered = False
        self._state = StateFile(state_fd)
        self._channel = Channel(
            socket.socket(fileno=worker_fd),
            decode_from_worker,
            on_message=self._owner.take,
            on_lost=self._lost,
        )
        self._owner.connected(self._channel)

    def _lost(self, why: str) -> None:
        """The channel is gone; most often the worker is, too, and the broker will say why."""
        if self._channel is None:  # we have hung up
            return
        self._owner.lost()
        if why:
            self.kill(why)
        else:
            why = "it closed its channel"
            self._loop.call_later(_EXIT_GRACE_S, self._kill, self._number, why)

    def _kill(self, number: int, why: str) -> None:
        if self._connection is not None and self._seat:
            self._connection.send(Kill(self._seat, number, why))

    def _hang_up(self, why: str, *, is_counted: bool) -> None:
        """The worker is gone, or given back; what it has answered already counts."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.finish()
            self._owner.ended(why, is_counted=is_counted)
        if self._state is not None:
            self._state.close()
            self._state = None
        self._number = self.pid = 0


class SharedSupply:
    """A ``WorkerSupply`` of workers that a broker starts for several serving processes.

    Args:
        path: the broker's Unix socket.
        start_timeout_s: how long a worker may take to load its model.
    """

    def __init__(self, path: str, start_timeout_s: float = 300.0) -> None:
        self.start_timeout_s = start_timeout_s
        self._path = path
        self._connection: BrokerConnection | None = None
        self._connecting = asyncio.Lock()
        self._is_closed = False

    def source(self, artifact: ArtifactRef, index: int, owner: WorkerOwner) -> SharedSource:
        """See ``WorkerSupply.source``."""
        return SharedSource(self._connect, artifact, index, owner, self.start_timeout_s)

    def close(self) -> None:
        """See ``WorkerSupply.close``."""
        self._is_closed = True
        if self._connection is not None:
            self._connection.close()

    async def _connect(self) -> BrokerConnection:
        """The line to the broker, which all sources share.

        Raises:
            LoadFailed: nobody is there, or the server ends.
        """
        async with self._connecting:
            if self._is_closed:
                raise LoadFailed("the server is shutting down: no worker is started any more")
            if self._connection is None or not self._connection.is_open:
                self._connection = await BrokerConnection.open(self._path)
                if self._is_closed:
                    self._connection.close()
            return self._connection
