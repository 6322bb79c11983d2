"""Http2GrpcServer: the gRPC door on libnghttp2, in this process and on its event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Mapping

from penstock.core.eager import start
from penstock.core.errors import Cancelled, Internal, PenstockError
from penstock.dialects.open_inference.grpc_wire import Buffer
from penstock.server.acceptor import Acceptor
from penstock.server.grpc_api.api import GrpcApi
from penstock.server.grpc_api.call import GrpcOptions, Streaming, Unary
from penstock.server.grpc_http2.answers import StandingHeaders
from penstock.server.grpc_http2.callbacks import Callbacks
from penstock.server.grpc_http2.connection import Connection
from penstock.server.grpc_http2.library import Library
from penstock.server.grpc_http2.limits import Http2Limits
from penstock.server.grpc_http2.messages import MessageFormat, frame_message
from penstock.server.grpc_http2.request_head import ENCODINGS, PATH
from penstock.server.grpc_http2.session import Engine
from penstock.server.grpc_http2.stream import Stream
from penstock.server.sockets import bind

_log = logging.getLogger("penstock.grpc")
_BACKLOG = 1024
_MAX_UNSENT_BYTES = 64 * 1024
_CALLED_OFF = "the call was called off before it was answered; try again"


class Http2GrpcServer:
    """Serves one ``GrpcApi``.

    Args:
        api: the methods.
        options: how the door is set up.
        library: libnghttp2.
        limits: what one client may take.

    Attributes:
        engine: what all connections have in common.
        forms: how clients may write the message of a unary call, by ``grpc-encoding``.
        streamed_forms: how they may write those of any other call.
        is_stopping: whether it takes no more connections.

    Concurrency: the event loop's thread.
    """

    def __init__(
        self,
        api: GrpcApi,
        options: GrpcOptions,
        library: Library,
        limits: Http2Limits | None = None,
    ) -> None:
        limits = limits or Http2Limits()
        callbacks = Callbacks(library, limits, api.headers)
        self.engine = Engine(library, callbacks, StandingHeaders(), limits)
        most = self._max_message_bytes = options.max_message_bytes
        streamed = limits.max_streamed_bytes if most < 0 else min(most, limits.max_streamed_bytes)
        self.forms = _forms(most, most if most >= 0 else limits.max_unpacked_bytes)
        self.streamed_forms = _forms(streamed, streamed)
        self.is_stopping = False
        self._connections: set[Connection] = set()
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self._options = options
        self._health = api.health
        self._unary: dict[bytes, Unary] = {p.encode(): m for p, m in api.unary.items()}
        self._streaming: dict[bytes, Streaming] = {
            path.encode(): method for path, method in api.streaming.items()
        }
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._listening: socket.socket | None = None
        self._acceptor: Acceptor | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    async def start(self, address: str) -> None:
        """Listen on ``host:port``, an IPv6 host in brackets.

        Raises:
            ConfigError: the address cannot be had.
        """
        host, _, port = address.rpartition(":")
        shares_port = self._options.shares_port
        listening = bind(host.strip("[]"), int(port), "gRPC", _BACKLOG, shares_port=shares_port)
        await self.start_on(listening)

    async def start_on(self, listening: socket.socket) -> None:
        """Listen on a socket, which is owned from here on."""
        listening.listen(_BACKLOG)
        self._listening = listening
        self._acceptor = Acceptor(listening, lambda: Connection(self, self._loop))
        self._health.start()
        self._sweep()

    async def stop(self, timeout_s: float) -> None:
        """Say NOT_SERVING, take no new calls, and wait for those under way.

        Args:
            timeout_s: after it, what is still under way is cut off, in seconds.
        """
        self.is_stopping = True
        self._health.stop()
        if self._acceptor is not None and self._listening is not None:
            self._acceptor.close()
            self._listening.close()
            await self._acceptor.wait_closed()
        for connection in list(self._connections):
            connection.drain()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._is_empty.wait(), timeout_s)
        for connection in list(self._connections):
            connection.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._is_empty.wait()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self.engine.callbacks.close()

    def came(self, connection: Connection) -> None:
        """There is a further connection."""
        self._connections.add(connection)
        self._is_empty.clear()

    def lost(self, connection: Connection) -> None:
        """A connection is no more."""
        self._connections.discard(connection)
        if not self._connections:
            self._is_empty.set()

    def knows(self, path: bytes) -> bool | None:
        """Whether a path is that of a method with one message each way; None: there is none."""
        return True if path in self._unary else False if path in self._streaming else None

    def begin(self, connection: Connection, stream: Stream) -> None:
        """Put the method to work: a message's at once, and in a task if it has to wait."""
        stream.client = connection.client
        path = stream.fields[PATH]
        method = self._unary.get(path)
        task: asyncio.Task[None] | None
        if method is not None:
            task = start(self._answer(connection, stream, method), self._loop)
            if task is None:
                return
        else:
            method_at_work = self._converse(connection, stream, self._streaming[path])
            task = self._loop.create_task(method_at_work)
        stream.task = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, connection: Connection, stream: Stream, method: Unary) -> None:
        """A call with one message each way."""
        try:
            assert stream.form is not None  # noqa: S101  # for the type alone
            message = await stream.form.read(stream.drop_body())
            pieces = await method(message, stream)
            connection.answer(stream, frame_message(pieces, self._max_message_bytes))
        except (Exception, asyncio.CancelledError) as err:  # noqa: BLE001  # the edge
            connection.fail(stream, _told(err))
        finally:
            stream.task = None

    async def _converse(self, connection: Connection, stream: Stream, method: Streaming) -> None:
        """Any other call."""
        try:
            answers = method(_messages(connection, stream), stream)
            async with contextlib.aclosing(answers):  # type: ignore[type-var]
                async for answer in answers:
                    if not stream.is_answered:
                        connection.begin_answer(stream)
                    connection.push(stream, frame_message([answer], self._max_message_bytes))
                    while stream.unsent_bytes() > _MAX_UNSENT_BYTES:
                        await stream.wait_moved()
            if not stream.is_answered:
                connection.begin_answer(stream)
            connection.end_answer(stream)
        except (Exception, asyncio.CancelledError) as err:  # noqa: BLE001  # the edge
            connection.fail(stream, _told(err))
        finally:
            stream.task = None

    def _sweep(self) -> None:
        self._sweeper = self._loop.call_later(self.engine.limits.sweep_s, self._sweep)
        now_s = self._loop.time()
        for connection in list(self._connections):
            connection.sweep(now_s)


def _forms(max_bytes: int, max_unpacked_bytes: int) -> Mapping[str, MessageFormat]:
    return {name: MessageFormat(name, max_bytes, max_unpacked_bytes) for name in ENCODINGS}


def _told(error: BaseException) -> PenstockError:
    """What a client is told of how its call failed; a bug of ours is INTERNAL."""
    if isinstance(error, PenstockError):
        return error
    if isinstance(error, asyncio.CancelledError):
        return Cancelled(_CALLED_OFF)
    _log.error("internal error", exc_info=error)
    return Internal("internal error; the server's log has more")


async def _messages(connection: Connection, stream: Stream) -> AsyncIterator[Buffer]:
    """The messages of a call, each unpacked when it is read; others have their turn in between."""
    assert stream.queue is not None  # noqa: S101  # for the type alone
    assert stream.form is not None  # noqa: S101  # for the type alone
    while (data := await stream.queue.take()) is not None:
        connection.was_read(stream, len(data))
        yield await stream.form.read(data)
        await asyncio.sleep(0)
