"""Session: libnghttp2's state of one connection, and the calls on it. No input or output here."""

from __future__ import annotations

import asyncio
from typing import NamedTuple, Protocol

from penstock.server.grpc_http2.answers import StandingHeaders
from penstock.server.grpc_http2.callbacks import PING, SETTINGS, Callbacks
from penstock.server.grpc_http2.library import Headers, Library
from penstock.server.grpc_http2.limits import Http2Limits
from penstock.server.grpc_http2.nghttp2_declarations import ffi
from penstock.server.grpc_http2.stream import Stream

_MAX_STREAMS, _WINDOW, _FRAME, _HEADERS, _NO_PRIORITIES = 3, 4, 5, 6, 9
"""Names of SETTINGS."""
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, CANCEL, CALM = 0, 1, 2, 8, 11
_PULL_BYTES = 256 * 1024
_FLOODED = -904


class Engine(NamedTuple):
    """What all sessions of a server have in common.

    Attributes:
        library: libnghttp2.
        callbacks: what it calls.
        standing: header fields of good answers.
        limits: bounds of a connection.
    """

    library: Library
    callbacks: Callbacks
    standing: StandingHeaders
    limits: Http2Limits


class Listener(Protocol):
    """Who is told what a client does; none of it may raise."""

    def on_head(self, stream: Stream) -> None:
        """A call begins: its header fields are there."""
        ...

    def on_data(self, stream: Stream) -> None:
        """More of a call's messages has come."""
        ...

    def on_end(self, stream: Stream) -> None:
        """A call's client has sent everything."""
        ...

    def on_close(self, stream: Stream) -> None:
        """A call is over: it is answered, or nobody waits for it any more."""
        ...

    def on_goaway_seen(self) -> None:
        """The client knows that the server is on its way out."""
        ...


class Session:
    """One connection, as bytes in and bytes out.

    To be closed, or its memory is lost.

    Attributes:
        streams: the calls under way, oldest first.
        receiving: the call whose header fields are coming in.
        is_open: whether the client has said that it speaks HTTP/2.
        failure: libnghttp2's error when it could not write; 0: none. Nothing works after it.
        out: what goes out, while it is put together; ``out_bytes``, what that takes; and
            ``has_views``, whether answers are among it that are not to be copied.
        num_idle_frames: frames in a row that brought no call on.
    """

    def __init__(self, engine: Engine, listener: Listener, loop: asyncio.AbstractEventLoop) -> None:
        self.streams: dict[int, Stream] = {}
        self.receiving: Stream | None = None
        self.is_open = False
        self.failure = 0
        self.out: list[bytes | memoryview] = []
        self.out_bytes = 0
        self.has_views = False
        self.num_idle_frames = 0
        self._engine = engine
        self._lib = engine.library.lib
        self._limits = engine.limits
        self._listener = listener
        self._loop = loop
        self._held_bytes = 0
        self._has_withheld = False
        self._uncredited_bytes = 0
        self._half_closed: list[int] = []
        self._place = ffi.new("const char **")
        self._handle = ffi.new_handle(self)
        place = ffi.new("nghttp2_session **")
        table, options = engine.callbacks.table, engine.callbacks.options
        if self._lib.nghttp2_session_server_new2(place, table, self._handle, options):
            raise MemoryError("no memory for a further connection")
        self._session = place[0]
        self._greet()

    def close(self) -> list[Stream]:
        """Free the memory; call nothing of it any more.

        Returns:
            the calls that were under way. Nothing is left that holds them, and no cycle which
            would hold a client's bytes until the garbage collector comes by.
        """
        session, self._session = self._session, None
        self._lib.nghttp2_session_del(session)
        streams = list(self.streams.values())
        self.streams.clear()
        self.out.clear()
        del self._handle, self._listener, self.receiving
        return streams

    def feed(self, data: bytes) -> bool:
        """Take in what came, and tell the listener.

        Returns:
            whether the connection may go on; if not, all there is to say is ready to go out.
        """
        num_read: int = self._lib.nghttp2_session_mem_recv(self._session, data, len(data))
        if num_read < 0:
            is_flood = num_read == _FLOODED or self.num_idle_frames > self._limits.max_idle_frames
            self.terminate(CALM if is_flood else PROTOCOL_ERROR)
            return False
        uncredited_bytes = self._uncredited_bytes
        if uncredited_bytes >= self._limits.connection_window_bytes // 4:
            self._uncredited_bytes = 0
            self._lib.nghttp2_session_consume_connection(self._session, uncredited_bytes)
        return True

    def pull(self) -> list[bytes | memoryview]:
        """What is to be sent next, at least ``_PULL_BYTES`` where there is as much; or nothing."""
        out = self.out = []
        self.out_bytes = 0
        self.has_views = False
        mem_send, place, unpack = self._lib.nghttp2_session_mem_send, self._place, ffi.unpack
        while self.out_bytes < _PULL_BYTES:
            size = mem_send(self._session, place)
            if size > 0:
                out.append(unpack(place[0], size))
                self.out_bytes += size
            elif size < 0:
                self.failure = size
                break
            elif not self._end_half_closed():
                break
        return out

    def is_over(self) -> bool:
        """Whether there is nothing more to read and to write."""
        session, lib = self._session, self._lib
        if lib.nghttp2_session_want_write(session):
            return False
        return not lib.nghttp2_session_want_read(session)

    def answer(self, stream: Stream, message: bytes) -> None:
        """Answer a unary call with a message that has its prefix."""
        stream.outgoing = message
        stream.trailers = self._engine.standing.success
        self.begin_answer(stream)

    def begin_answer(self, stream: Stream) -> None:
        """Send the head of an answer, and whatever the stream has, or will have, going out."""
        stream.is_answered = True
        head = self._engine.standing.head
        self._lib.nghttp2_submit_response(
            self._session, stream.id, head.array, head.count, self._engine.callbacks.provider
        )

    def resume(self, stream: Stream) -> None:
        """There is more going out, or the trailers."""
        self._lib.nghttp2_session_resume_data(self._session, stream.id)

    def end_answer(self, stream: Stream, trailers: Headers | None = None) -> None:
        """Send trailers, those of success by default, behind what is going out."""
        stream.trailers = trailers or self._engine.standing.success
        self.resume(stream)

    def refuse(self, stream: Stream, answer: Headers) -> None:
        """Answer a call with header fields alone."""
        stream.is_answered = True
        stream.trailers = answer
        self._lib.nghttp2_submit_response(
            self._session, stream.id, answer.array, answer.count, ffi.NULL
        )
        self.answered(stream)

    def reset(self, stream: Stream, error_code: int) -> None:
        """End a call without an answer."""
        self._lib.nghttp2_submit_rst_stream(self._session, 0, stream.id, error_code)

    def terminate(self, error_code: int) -> None:
        """End the connection: GOAWAY, and no word to what is under way."""
        self._lib.nghttp2_session_terminate_session(self._session, error_code)

    def announce_goaway(self) -> None:
        """Tell the client that the server is on its way out, and ask whether it has seen that."""
        self._lib.nghttp2_submit_shutdown_notice(self._session)
        self._lib.nghttp2_submit_ping(self._session, 0, ffi.NULL)

    def goaway(self) -> None:
        """Take no more calls; the connection is over with the last of those under way."""
        last = self._lib.nghttp2_session_get_last_proc_stream_id(self._session)
        self._lib.nghttp2_submit_goaway(self._session, 0, last, NO_ERROR, ffi.NULL, 0)

    def begin(self, stream_id: int) -> None:
        """Header fields begin: a new call's, or the trailers of one."""
        stream = self.streams.get(stream_id)
        if stream is None:
            stream = self.streams[stream_id] = Stream(stream_id, self._loop)
        self.receiving = stream

    def head_complete(self, stream_id: int) -> None:
        """Header fields are there."""
        stream = self.streams.get(stream_id)
        if stream is not None and not stream.has_head:
            stream.has_head = True
            self._listener.on_head(stream)

    def take(self, stream_id: int, data: memoryview) -> None:
        """Some of a call's messages is there. Of a call that is answered it is thrown away.

        Args:
            stream_id: the call.
            data: a view of what came, for now alone.
        """
        size = len(data)
        self._uncredited_bytes += size
        stream = self.streams.get(stream_id)
        if stream is None or stream.trailers is not None:
            return
        stream.take(data)
        stream.uncredited_bytes += size
        stream.held_bytes += size
        self._held_bytes += size
        self._listener.on_data(stream)
        if self.is_withheld(stream):
            self._credit(stream)

    def was_read(self, stream: Stream, size: int) -> None:
        """A message of a call that has any number of them is taken out of its queue."""
        stream.held_bytes -= size
        self._held_bytes -= size
        if self.is_withheld(stream) and not stream.has_ended:
            self._credit(stream)
        self._credit_waiting()

    def is_withheld(self, stream: Stream) -> bool:
        """Whether a client was not told to go on with a call when it was time to."""
        return stream.uncredited_bytes >= self._limits.stream_window_bytes // 4

    def ended(self, stream_id: int) -> None:
        """A call's client has sent everything."""
        self.num_idle_frames = 0
        stream = self.streams.get(stream_id)
        if stream is None:
            return
        stream.has_ended = True
        if stream.trailers is None:
            self._listener.on_end(stream)
        self._credit_waiting()

    def closed(self, stream_id: int) -> None:
        """A call is over: nothing here holds its messages any longer."""
        stream = self.streams.pop(stream_id, None)
        if stream is None:
            return
        if self.receiving is stream:
            self.receiving = None
        stream.drop_body()
        self._held_bytes -= stream.held_bytes
        self._credit_waiting()
        self._listener.on_close(stream)

    def control(self, kind: int, is_ack: int) -> bool:
        """A frame that brings no call on has come; False: there were too many."""
        if kind == SETTINGS and not is_ack:
            self.is_open = True
        elif kind == PING and is_ack:
            self._listener.on_goaway_seen()
        self.num_idle_frames += 1
        return self.num_idle_frames <= self._limits.max_idle_frames

    def answered(self, stream: Stream) -> None:
        """All of an answer is on its way. Its call is over, whether its client is done or not."""
        self.num_idle_frames = 0
        if not stream.has_ended:
            self._half_closed.append(stream.id)

    def _end_half_closed(self) -> bool:
        """Tell clients whose answers are out to stop; False: there are none."""
        ids, self._half_closed = self._half_closed, []
        for stream_id in ids:
            stream = self.streams.get(stream_id)
            if stream is not None and not stream.has_ended:
                self.reset(stream, NO_ERROR)
        return bool(ids)

    def _credit(self, stream: Stream) -> None:
        """Let a client send more of a call, unless it is not read or too much is held already."""
        if stream.queue is not None and stream.queue.has_message():
            return
        if self._held_bytes > self._limits.max_held_bytes and stream is not self._oldest():
            self._has_withheld = True
            return
        size, stream.uncredited_bytes = stream.uncredited_bytes, 0
        self._lib.nghttp2_session_consume_stream(self._session, stream.id, size)

    def _credit_waiting(self) -> None:
        """After a call was read or has ended: let clients of others go on that were held back."""
        if self._has_withheld:
            self._has_withheld = False
            for stream in self.streams.values():
                if stream.uncredited_bytes and not stream.has_ended:
                    self._credit(stream)

    def _oldest(self) -> Stream | None:
        """The oldest call whose one message is incomplete, and will be read."""
        return next(
            (
                stream
                for stream in self.streams.values()
                if not (stream.has_ended or stream.is_answered or stream.queue is not None)
            ),
            None,
        )

    def _greet(self) -> None:
        limits, lib = self._limits, self._lib
        settings = {
            _MAX_STREAMS: limits.max_streams,
            _WINDOW: limits.stream_window_bytes,
            _FRAME: limits.max_frame_bytes,
            _HEADERS: limits.max_header_bytes,
            _NO_PRIORITIES: 1,
        }
        entries = ffi.new("nghttp2_settings_entry[]", list(settings.items()))
        lib.nghttp2_submit_settings(self._session, 0, entries, len(settings))
        lib.nghttp2_session_set_local_window_size(
            self._session, 0, 0, limits.connection_window_bytes
        )
