"""SharedWorker: one worker process and the serving processes that share it."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from typing import Protocol

from penstock.core.clock import SystemClock
from penstock.core.errors import LoadFailed, NotReady, PenstockError
from penstock.core.ids import ServableId
from penstock.runtime.broker.frames import Faulted, Given, Gone, Ready, Refused, ToGuest
from penstock.runtime.process.channel import FromWorker
from penstock.runtime.process.frame import Attach, BadFrame, Loaded, Share, ToServer
from penstock.runtime.process.state_file import IDLE, StateFile, WorkerState
from penstock.runtime.process.wire_error import error_out
from penstock.runtime.process.worker_keeper import WorkerKeeper
from penstock.runtime.process.worker_options import WorkerOptions
from penstock.runtime.process.worker_source import WorkerOwner

_log = logging.getLogger("penstock.runtime")

_CLOSE_TIMEOUT_S = 5.0


class Guest(Protocol):
    """A serving process, to the broker."""

    def send(self, message: ToGuest, *fds: int) -> None:
        """Tell it something; the descriptors go with it and are closed here."""
        ...


class Seat:
    """One process's share of a worker.

    Attributes:
        guest: the process.
        number: what it calls its share.
        channel: the number of its socket to the worker; 0: there is no worker now.
        is_waiting: whether it has never seen the worker with its model.
    """

    def __init__(self, guest: Guest, number: int) -> None:
        self.guest = guest
        self.number = number
        self.channel = 0
        self.is_waiting = True


class SharedWorker:
    """Keeps a worker alive for all who have a seat. A ``WorkerOwner``.

    Args:
        id: the version.
        options: how its worker is held to account.
        make_keeper: makes the one that starts it, for an owner: this.
        on_vain: told when the first worker does not come up: there will be none.

    Concurrency: the event loop's thread.
    """

    def __init__(
        self,
        id: ServableId,  # noqa: A002  # the field's name everywhere
        options: WorkerOptions,
        make_keeper: Callable[[WorkerOwner], WorkerKeeper],
        on_vain: Callable[[], None],
    ) -> None:
        self._id = id
        self._options = options
        self._on_vain = on_vain
        self._keeper = make_keeper(self)
        self._now_ns = SystemClock().monotonic_ns
        self._seats: list[Seat] = []
        self._num_channels = 0
        self._channel: FromWorker | None = None
        self._state: StateFile | None = None
        self._loaded: Loaded | None = None
        self._starting: asyncio.Task[None] | None = None

    @property
    def has_seats(self) -> bool:
        """Whether anybody needs it."""
        return bool(self._seats)

    @property
    def is_busy(self) -> bool:
        """Whether the worker computes for anybody."""
        return self._state is not None and self._state.read().channel > 0

    def join(self, seat: Seat) -> None:
        """One more shares the worker; with the first it is started."""
        self._seats.append(seat)
        if self._channel is not None:
            self._give(seat)
        if self._loaded is not None:
            self._tell_ready(seat, self._loaded)
        elif self._starting is None:
            name = f"penstock start {self._id}"
            self._starting = asyncio.get_running_loop().create_task(self._start(), name=name)
        else:
            self._keeper.hurry()

    def leave(self, seat: Seat) -> None:
        """One less; the worker notices by itself."""
        self._seats.remove(seat)

    def kill(self, seat: Seat, channel: int, why: str) -> None:
        """End the worker, unless the seat's channel is another by now."""
        if channel and channel == seat.channel:
            self._keeper.kill(why)

    def answered(self, seat: Seat, channel: int) -> None:
        """The worker is well, if the seat's channel is still the same."""
        if channel and channel == seat.channel:
            self._keeper.answered()

    async def close(self) -> None:
        """End the worker."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        await self._keeper.close(_CLOSE_TIMEOUT_S)

    def overdue(self) -> str:
        """Why it should be killed: its batch takes longer than anybody waits for it."""
        state = self._settled()
        if not state.channel:
            return ""
        limit_ns = state.started_ns + int(self._options.kill_after_s * 1e9)
        if any(seat.channel == state.channel for seat in self._seats):
            warm_up_ns = state.started_ns + int(self._options.start_timeout_s * 1e9)
            limit_ns = max(limit_ns, state.deadline_ns or warm_up_ns)
        now_ns = self._now_ns()
        if now_ns <= limit_ns:
            return ""
        return f"it did not answer within {(now_ns - state.started_ns) / 1e9:.3g} s"

    def connected(self, channel: FromWorker) -> None:
        """Show the new worker everyone who shares it, before it loads: its model may call others.

        Raises:
            OSError: there are no more descriptors.
        """
        self._state = StateFile.make()
        channel.send(Share(), fds=[os.dup(self._state.fd)])
        self._channel = channel
        for seat in self._seats:
            self._give(seat)

    def take(self, message: ToServer, body: memoryview) -> None:
        """Nothing is computed here.

        Raises:
            BadFrame: always.
        """
        raise BadFrame(f"a {type(message).__name__} nobody asked for, with {len(body)} bytes")

    def up(self, loaded: Loaded) -> None:
        """See ``WorkerOwner.up``."""
        self._loaded = loaded
        for seat in self._seats:
            self._tell_ready(seat, loaded)

    def lost(self) -> None:
        """Nobody is shown this worker any more."""
        self._channel = self._loaded = None

    def ended(self, why: str, *, is_counted: bool = True) -> None:
        """See ``WorkerOwner.ended``."""
        self.lost()
        if self._state is not None:
            self._state.close()
            self._state = None
        for seat in self._seats:
            if seat.channel:
                seat.channel = 0
                seat.guest.send(Gone(seat.number, why, is_counted))
                is_counted = False

    def faulted(self, fault: NotReady) -> None:
        """See ``WorkerOwner.faulted``; who waits for a first worker waits no more."""
        for seat in self._seats:
            if not seat.is_waiting:
                seat.guest.send(Faulted(seat.number, error_out(fault)))
        self._refuse(LoadFailed(fault.message))

    def _settled(self) -> WorkerState:
        """What the worker computes; idle where two looks differ, since it may write meanwhile."""
        if self._state is None:
            return IDLE
        state = self._state.read()
        return state if state == self._state.read() else IDLE

    async def _start(self) -> None:
        try:
            loaded = await self._keeper.start()
        except Exception as err:  # noqa: BLE001  # whatever it is, those who wait have to know
            if not isinstance(err, PenstockError):
                _log.exception("%s: its worker could not be started", self._id)
                err = LoadFailed(f"{self._id}: its worker could not be started: {err!r}")
            self._on_vain()
            self._refuse(err)
        else:
            self.up(loaded)

    def _refuse(self, error: PenstockError) -> None:
        for seat in [seat for seat in self._seats if seat.is_waiting]:
            seat.guest.send(Refused(seat.number, error_out(error)))

    def _tell_ready(self, seat: Seat, loaded: Loaded) -> None:
        seat.is_waiting = False
        seat.guest.send(Ready(seat.number, loaded))

    def _give(self, seat: Seat) -> None:
        """Connect a process with the worker.

        Raises:
            OSError: there are no more descriptors.
        """
        if self._channel is None or self._state is None:
            return
        state_fd = os.dup(self._state.fd)
        try:
            ours, theirs = socket.socketpair()
        except OSError:
            os.close(state_fd)
            raise
        self._num_channels += 1
        seat.channel = self._num_channels
        self._channel.send(Attach(seat.channel), fds=[theirs.detach()])
        given = Given(seat.number, seat.channel, self._keeper.pid)
        seat.guest.send(given, ours.detach(), state_fd)
