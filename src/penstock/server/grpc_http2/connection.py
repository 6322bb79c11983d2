"""Connection: one client of the gRPC door, from its first byte to its last."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Mapping
from typing import Protocol

from penstock.core.errors import (
    DeadlineExceeded,
    InvalidArgument,
    PenstockError,
    TooLarge,
)
from penstock.server.grpc_http2.answers import (
    UNIMPLEMENTED,
    error_answer,
    error_trailers,
    http_answer,
    status_answer,
)
from penstock.server.grpc_http2.limits import Http2Limits
from penstock.server.grpc_http2.messages import PREFIX_BYTES, MessageFormat, MessageQueue
from penstock.server.grpc_http2.request_head import (
    PATH,
    http_refusal,
    read_encoding,
    read_timeout,
)
from penstock.server.grpc_http2.session import CANCEL, PROTOCOL_ERROR, Engine, Session
from penstock.server.grpc_http2.stream import Stream

_log = logging.getLogger("penstock.grpc")
_HIGH_WATER_BYTES = 256 * 1024
_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 20, "TCP_KEEPCNT": 3}
"""A client whose machine is gone is noticed within two minutes, idle or not."""


class Host(Protocol):
    """What a connection needs of its server.

    Attributes:
        engine: what all connections have in common.
        forms: how clients may write the message of a unary call, by ``grpc-encoding``.
        streamed_forms: how they may write those of any other call.
        is_stopping: whether it takes no more connections.
    """

    engine: Engine
    forms: Mapping[str, MessageFormat]
    streamed_forms: Mapping[str, MessageFormat]
    is_stopping: bool

    def came(self, connection: Connection) -> None:
        """There is a further connection."""
        ...

    def lost(self, connection: Connection) -> None:
        """A connection is no more."""
        ...

    def knows(self, path: bytes) -> bool | None:
        """Whether a path is that of a method with one message each way; None: there is none."""
        ...

    def begin(self, connection: Connection, stream: Stream) -> None:
        """Put the method to work: its message is there, or it reads its messages itself."""
        ...


class Connection(asyncio.Protocol):
    """One client.

    Attributes:
        client: its address; "" where it has none.

    Concurrency: the event loop's thread.
    """

    def __init__(self, host: Host, loop: asyncio.AbstractEventLoop) -> None:
        self.client = ""
        self._host = host
        self._loop = loop
        self._limits: Http2Limits = host.engine.limits
        self._transport: asyncio.Transport
        self._session: Session
        self._ready: list[Stream] = []
        self._waiting: set[int] = set()
        self._is_feeding = False
        self._is_flush_due = False
        self._is_paused = False
        self._is_ending = False
        self._is_lost = False
        self._is_draining = False
        self._since_s = loop.time()
        self._unread_bytes = 0
        self._goaway_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come; one that was on its way when the server stopped is sent away."""
        self._transport = transport
        if self._host.is_stopping:
            self._is_ending = self._is_lost = True
            transport.close()
            return
        transport.set_write_buffer_limits(high=_HIGH_WATER_BYTES)
        peer = transport.get_extra_info("peername")
        self.client = peer[0] if isinstance(peer, tuple) else ""
        _keep_alive(transport.get_extra_info("socket"))
        self._session = Session(self._host.engine, self, self._loop)
        self._host.came(self)
        self.flush_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone, and with it who waits for what it asked for."""
        if self._is_lost:
            return
        self._is_lost = True
        if self._goaway_timer is not None:
            self._goaway_timer.cancel()
        for stream in self._session.close():
            self.on_close(stream)
        self._host.lost(self)

    def data_received(self, data: bytes) -> None:
        """Take in what came."""
        if self._is_ending:
            return
        self._is_feeding = True
        may_go_on = self._session.feed(data)
        ready, self._ready = self._ready, []
        for stream in ready:
            if not stream.is_over:
                self._waiting.add(stream.id)
                self._host.begin(self, stream)
        self._is_feeding = False
        if not may_go_on:
            self._end()
        self._flush()

    def eof_received(self) -> bool:
        """The client says no more: there is nothing left to tell it either."""
        return False

    def pause_writing(self) -> None:
        """The client does not read: it is not listened to until it does."""
        self._is_paused = True
        self._wait_for_reader()
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._is_paused = False
        if not self._transport.is_closing():
            self._transport.resume_reading()
        self.flush_soon()

    def flush_soon(self) -> None:
        """Send what is ready in the next turn of the event loop, all of this turn at once."""
        if not (self._is_flush_due or self._is_feeding):
            self._is_flush_due = True
            self._loop.call_soon(self._flush)

    def answer(self, stream: Stream, message: bytes) -> None:
        """Answer a unary call with a message that has its prefix."""
        if not stream.is_over:
            self._session.answer(stream, message)
            self._flush_if_last(stream)

    def begin_answer(self, stream: Stream) -> None:
        """Begin the answer of a call that may be answered by any number of messages."""
        self._session.begin_answer(stream)
        self.flush_soon()

    def push(self, stream: Stream, message: bytes) -> None:
        """Send a further message, which has its prefix."""
        stream.push(message)
        self._session.resume(stream)
        self.flush_soon()

    def end_answer(self, stream: Stream) -> None:
        """There is no further message."""
        self._session.end_answer(stream)
        self.flush_soon()

    def was_read(self, stream: Stream, size: int) -> None:
        """The method has taken a message of ``size`` bytes: the client may send more."""
        if not stream.is_over:
            self._session.was_read(stream, size)
            self.flush_soon()

    def fail(self, stream: Stream, error: PenstockError) -> None:
        """Answer a call with an error, behind the messages that were sent."""
        if stream.is_over or stream.trailers is not None:
            return
        if stream.is_answered:
            self._session.end_answer(stream, error_trailers(error))
        else:
            self._session.refuse(stream, error_answer(error))
        self._flush_if_last(stream)

    def on_head(self, stream: Stream) -> None:
        """A call begins. What cannot be served is answered before its message comes."""
        refusal = http_refusal(stream.fields)
        if refusal is not None:
            self._session.refuse(stream, http_answer(*refusal))
            return
        is_unary = self._host.knows(stream.fields[PATH])
        if is_unary is None:
            self._session.refuse(stream, status_answer(UNIMPLEMENTED, "Method not found!"))
            return
        limits = self._limits
        try:
            if stream.header_bytes > limits.max_header_bytes:
                raise TooLarge(f"the call's metadata exceeds {limits.max_header_bytes} bytes")
            timeout_s = read_timeout(stream.fields)
            encoding = read_encoding(stream.fields)
        except PenstockError as err:
            self.fail(stream, err)
            return
        if timeout_s is not None:
            stream.deadline_s = stream.began_s + timeout_s
        if is_unary:
            stream.form = self._host.forms[encoding]
        else:
            stream.form = self._host.streamed_forms[encoding]
            stream.queue = MessageQueue(stream.form)
            self._ready.append(stream)

    def on_data(self, stream: Stream) -> None:
        """Refuse a message that is too large, or more than one, as soon as that is known."""
        if stream.queue is not None or stream.form is None or len(stream.body) < PREFIX_BYTES:
            return
        try:
            if len(stream.body) > stream.form.length(stream.body):
                raise InvalidArgument("expected one message, got more")
        except PenstockError as err:
            self.fail(stream, err)

    def on_end(self, stream: Stream) -> None:
        """A call's client has sent everything."""
        stream.stuck_bytes = -1
        if stream.queue is not None:
            stream.queue.end()
        else:
            self._ready.append(stream)

    def on_close(self, stream: Stream) -> None:
        """Nobody waits for a call any more."""
        stream.is_over = True
        self._waiting.discard(stream.id)
        if stream.task is not None:
            stream.task.cancel()

    def on_goaway_seen(self) -> None:
        """The client has seen that the server is on its way out."""
        if self._is_draining and self._goaway_timer is not None:
            self._goaway_timer.cancel()
            self._say_goaway()

    def drain(self) -> None:
        """Take no more calls, and close when those under way are answered.

        As gRPC does it: a first GOAWAY that refuses nothing yet, and when the client has seen it
        the one that counts, so that no call is lost on its way.
        """
        if self._is_draining or self._is_lost:
            return
        self._is_draining = True
        if not self._session.is_open:
            self._transport.close()
            return
        self._session.announce_goaway()
        timeout_s = self._limits.goaway_timeout_s
        self._goaway_timer = self._loop.call_later(timeout_s, self._say_goaway)
        self.flush_soon()

    def abort(self) -> None:
        """Close without another word."""
        self._transport.abort()

    def sweep(self, now_s: float) -> None:
        """Let go of a client that keeps the server waiting: see ``Http2Limits``."""
        session, limits = self._session, self._limits
        session.num_idle_frames = 0
        if self._is_paused or self._is_ending:
            self._sweep_transport(now_s)
        elif not session.is_open and now_s - self._since_s > limits.preface_timeout_s:
            self._transport.close()
        for stream in list(session.streams.values()):
            self._sweep_stream(stream, now_s)

    def _sweep_transport(self, now_s: float) -> None:
        unread_bytes = self._transport.get_write_buffer_size()
        if unread_bytes < self._unread_bytes:
            self._since_s = now_s
        self._unread_bytes = unread_bytes
        if now_s - self._since_s > self._limits.write_timeout_s:
            self._transport.abort()

    def _sweep_stream(self, stream: Stream, now_s: float) -> None:
        limits = self._limits
        if not stream.has_head:
            if now_s - stream.began_s > limits.request_timeout_s:  # in the midst of a header block
                self._session.terminate(PROTOCOL_ERROR)
                self._end()
        elif not stream.has_ended and stream.queue is None:
            if self._is_paused or self._session.is_withheld(stream):
                stream.stuck_bytes = -1  # it is for us to let it go on
            elif stream.trailers is None and stream.is_stuck(
                stream.held_bytes, now_s, limits.request_timeout_s
            ):
                late = f"nothing of the message came for {limits.request_timeout_s:g} seconds"
                self.fail(stream, DeadlineExceeded(late))
        elif (
            stream.unsent_bytes() or (stream.trailers is not None and not self._is_paused)
        ) and stream.is_stuck(stream.num_sent_bytes, now_s, limits.write_timeout_s):
            self._session.reset(stream, CANCEL)
            self.flush_soon()

    def _say_goaway(self) -> None:
        self._goaway_timer = None
        self._session.goaway()
        self.flush_soon()

    def _flush_if_last(self, answered: Stream) -> None:
        """Send what is ready: now, if no other call waits for its answer, else soon."""
        self._waiting.discard(answered.id)
        if self._waiting or self._is_feeding:
            self.flush_soon()
        else:
            self._flush()

    def _end(self) -> None:
        """Take in nothing more, and close when what is ready is out."""
        self._is_ending = True
        self._wait_for_reader()
        self.flush_soon()

    def _wait_for_reader(self) -> None:
        """From now on the client has to read."""
        self._since_s = self._loop.time()
        self._unread_bytes = self._transport.get_write_buffer_size()

    def _flush(self) -> None:
        self._is_flush_due = False
        while not (self._is_paused or self._is_lost or self._transport.is_closing()):
            parts = self._session.pull()
            if self._session.failure:
                _log.error("a connection is given up: libnghttp2 says %d", self._session.failure)
                self._transport.abort()
                return
            if not parts:
                break
            if self._session.has_views:
                self._transport.writelines(parts)
            else:
                self._transport.write(b"".join(parts))
        if self._is_paused or self._is_lost:
            return
        if self._is_ending:
            self._transport.close()
        elif self._session.is_over():
            self._end()


def _keep_alive(connected: socket.socket | None) -> None:
    if connected is None:
        return
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, seconds in _KEEPALIVE.items():
        option = getattr(socket, name, None)
        if option is not None:
            connected.setsockopt(socket.IPPROTO_TCP, option, seconds)
