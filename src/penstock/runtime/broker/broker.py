"""Broker: starts the worker processes of several serving processes, each of them once.

It runs beside the serving processes, which come to it over a Unix socket. What they compute does
not pass it: it connects each of them with the worker by a socket of their own.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Coroutine
from typing import Any

import msgspec

from penstock.core.errors import LoadFailed, PenstockError
from penstock.runtime.broker.frames import (
    Acquire,
    Answered,
    Kill,
    Refused,
    Release,
    Released,
    ToBroker,
    ToGuest,
    decode_from_guest,
)
from penstock.runtime.broker.shared_worker import Seat, SharedWorker
from penstock.runtime.process.channel import Channel
from penstock.runtime.process.load_message import artifact_of
from penstock.runtime.process.reaper_process import ReaperProcess
from penstock.runtime.process.wire_error import error_out
from penstock.runtime.process.worker_keeper import WorkerKeeper
from penstock.runtime.process.worker_options import worker_options

_log = logging.getLogger("penstock.runtime")

_ACCEPT_AGAIN_S = 1.0

_encode = msgspec.msgpack.Encoder().encode


class Broker:
    """The workers, by what they load.

    Law: who asks for the same copy of the same artifact shares one worker; it ends with the last
    one's release, or end.

    Args:
        start_timeout_s: how long a worker may take to load its model.

    Concurrency: the event loop's thread.
    """

    def __init__(self, start_timeout_s: float = 300.0) -> None:
        self._start_timeout_s = start_timeout_s
        self._loop = asyncio.get_running_loop()
        self._reaper = ReaperProcess()
        self._workers: dict[bytes, SharedWorker] = {}
        self._guests: set[_Guest] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._listening: socket.socket | None = None

    def listen(self, listening: socket.socket) -> None:
        """Serve those who connect.

        Args:
            listening: a Unix socket that listens, in a folder of this user's; owned by the broker.
        """
        listening.setblocking(False)
        self._listening = listening
        self._loop.add_reader(listening.fileno(), self._accept)

    async def close(self) -> None:
        """Hang up on everyone, then end every worker."""
        if self._listening is not None:
            self._loop.remove_reader(self._listening.fileno())
            self._listening.close()
            self._listening = None
        for guest in tuple(self._guests):
            guest.close()
        workers = [*self._workers.values()]
        self._workers.clear()
        await asyncio.gather(*(worker.close() for worker in workers), *self._closing)

    def worker(self, message: Acquire) -> SharedWorker:
        """The worker somebody asks for.

        Raises:
            LoadFailed: its manifest asks for what is not there.
        """
        key = _encode((message.index, message.load))
        worker = self._workers.get(key)
        if worker is None:
            artifact = artifact_of(message.load)
            options = worker_options(artifact, message.index, self._start_timeout_s)
            options = msgspec.structs.replace(options, max_body_bytes=0)
            worker = SharedWorker(
                artifact.id,
                options,
                lambda owner: WorkerKeeper(artifact, options, self._reaper, owner),
                on_vain=lambda: self._forget(worker),
            )
            self._workers[key] = worker
        return worker

    async def release(self, worker: SharedWorker) -> None:
        """Somebody has left a worker: end it if it was the last."""
        if not worker.has_seats:
            self._forget(worker)
            await worker.close()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that takes a while, at the latest when the broker closes."""
        task = self._loop.create_task(work, name="penstock broker")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def left(self, guest: _Guest) -> None:
        """A serving process has gone."""
        self._guests.discard(guest)

    def _accept(self) -> None:
        if self._listening is None:
            return
        try:
            sock, _ = self._listening.accept()
        except BlockingIOError:
            return
        except OSError as err:
            _log.error("a serving process could not come to its workers: %s", err)
            self._loop.remove_reader(self._listening.fileno())
            self._loop.call_later(_ACCEPT_AGAIN_S, self._resume)
            return
        self._guests.add(_Guest(self, sock))

    def _resume(self) -> None:
        if self._listening is not None:
            self._loop.add_reader(self._listening.fileno(), self._accept)

    def _forget(self, worker: SharedWorker | None) -> None:
        for key, known in tuple(self._workers.items()):
            if known is worker:
                del self._workers[key]


class _Guest:
    """One serving process at the other end of a socket."""

    def __init__(self, broker: Broker, sock: socket.socket) -> None:
        self._broker = broker
        self._seats: dict[int, tuple[SharedWorker, Seat]] = {}
        self._channel: Channel[ToBroker] = Channel(
            sock, decode_from_guest, on_message=self._take, on_lost=self._lost, max_body_bytes=0
        )

    def send(self, message: ToGuest, *fds: int) -> None:
        """See ``Guest.send``."""
        if isinstance(message, Refused):
            self._leave(message.seat)
        self._channel.send(message, fds=fds)

    def close(self) -> None:
        """Hang up."""
        self._channel.close()
        self._lost("")

    def _take(self, message: ToBroker, body: memoryview) -> None:
        del body  # always empty
        if isinstance(message, Acquire):
            self._join(message)
            return
        if isinstance(message, Release):
            self._broker.run(self._release(message.seat))
            return
        found = self._seats.get(message.seat)
        if found is None:
            return
        worker, seat = found
        if isinstance(message, Kill):
            worker.kill(seat, message.channel, message.why)
        elif isinstance(message, Answered):
            worker.answered(seat, message.channel)

    def _join(self, message: Acquire) -> None:
        try:
            worker = self._broker.worker(message)
            seat = Seat(self, message.seat)
            self._seats[message.seat] = worker, seat
            worker.join(seat)
        except PenstockError as err:
            self.send(Refused(message.seat, error_out(err)))
        except OSError as err:
            text = f"{message.load.name}: its worker cannot be shared: {err.strerror or err}"
            self.send(Refused(message.seat, error_out(LoadFailed(text, retryable=True))))

    def _leave(self, number: int) -> SharedWorker | None:
        worker, seat = self._seats.pop(number, (None, None))
        if worker is not None and seat is not None:
            worker.leave(seat)
            self._broker.run(self._broker.release(worker))
        return worker

    async def _release(self, number: int) -> None:
        worker, seat = self._seats.pop(number, (None, None))
        if worker is not None and seat is not None:
            worker.leave(seat)
            await self._broker.release(worker)
        self._channel.send(Released(number))

    def _lost(self, why: str) -> None:
        if why:
            _log.error("a serving process: %s", why)
        for number in tuple(self._seats):
            self._leave(number)
        self._broker.left(self)
