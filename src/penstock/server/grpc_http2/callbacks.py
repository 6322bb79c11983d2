"""Callbacks: what libnghttp2 calls while it reads and writes. They translate, no more.

They are called many times per call, so they look up little: a session is found by its handle,
bytes are taken over in one step, header fields that nobody reads are not even copied.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from penstock.server.grpc_http2.limits import Http2Limits
from penstock.server.grpc_http2.nghttp2_declarations import ffi
from penstock.server.grpc_http2.request_head import WANTED, WANTED_LENGTHS

if TYPE_CHECKING:
    from penstock.router.route_table import HeaderNames
    from penstock.server.grpc_http2.library import Library

_log = logging.getLogger("penstock.grpc")

DATA, HEADERS, SETTINGS, PING = 0, 1, 4, 6
_END_STREAM = ACK = 0x01
_FIELD_OVERHEAD = 32
_EOF_BUT_TRAILERS = 0x01 | 0x02
_NO_COPY = 0x04
_DEFERRED, _PAUSE = -508, -526
_STREAM_FAILED, _SESSION_FAILED = -521, -902
_PAUSE_BYTES = 1024 * 1024
"""libnghttp2 would go on putting together what is not copied for as long as there is some."""
_FRAME_HEAD_BYTES = 9
_LITTLE_BYTES = 64
"""A frame of less brings no call on, unless it is its last."""


def _log_fault(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    _log.error("a connection is given up: a bug of ours", exc_info=(kind, error, trace))


class Callbacks:
    """What every session of a server is made with. To be kept as long as there is one.

    Attributes:
        options: an ``nghttp2_option``.
        table: an ``nghttp2_session_callbacks``.
        provider: an ``nghttp2_data_provider``: where the data of every answer comes from.

    Args:
        library: libnghttp2.
        limits: bounds of a connection.
        headers: what is kept of the header fields beside what gRPC itself takes.
    """

    def __init__(self, library: Library, limits: Http2Limits, headers: HeaderNames) -> None:
        lib = library.lib
        on_header = _header(limits, headers)
        place = ffi.new("nghttp2_session_callbacks **")
        lib.nghttp2_session_callbacks_new(place)
        self.table = place[0]
        self.options = library.make_options(limits)
        self._lib = lib
        self._kept = [
            _set(lib.nghttp2_session_callbacks_set_on_begin_headers_callback, self.table, _begin()),
            _set(lib.nghttp2_session_callbacks_set_on_header_callback, self.table, on_header),
            _set(
                lib.nghttp2_session_callbacks_set_on_data_chunk_recv_callback, self.table, _data()
            ),
            _set(lib.nghttp2_session_callbacks_set_on_frame_recv_callback, self.table, _frame()),
            _set(lib.nghttp2_session_callbacks_set_on_stream_close_callback, self.table, _closed()),
            _set(lib.nghttp2_session_callbacks_set_send_data_callback, self.table, _send_data()),
        ]
        self.provider = ffi.new("nghttp2_data_provider *")
        self._read = _read(lib)
        self.provider.read = self._read

    def close(self) -> None:
        """Free what every session has a copy of: there will be no more of them."""
        table, self.table = self.table, ffi.NULL
        options, self.options = self.options, ffi.NULL
        self._lib.nghttp2_session_callbacks_del(table)
        self._lib.nghttp2_option_del(options)


def _callback(kind: str, failed: int) -> Callable[[Callable[..., int]], Any]:
    """Make a C function of a Python one; ``failed`` is what libnghttp2 is told of an exception."""
    made: Callable[[Callable[..., int]], Any]
    made = ffi.callback(kind, error=failed, onerror=_log_fault)
    return made


def _set(setter: Any, table: Any, callback: Any) -> Any:
    setter(table, callback)
    return callback


def _begin() -> Any:
    @_callback("frame_callback", _SESSION_FAILED)
    def on_begin_headers(_session: Any, frame: Any, user: Any) -> int:
        ffi.from_handle(user).begin(frame.hd.stream_id)
        return 0

    return on_begin_headers


def _header(limits: Http2Limits, headers: HeaderNames) -> Any:
    from_handle, unpack = ffi.from_handle, ffi.unpack
    end_bytes = 2 * limits.max_header_bytes

    @_callback("header_callback", _SESSION_FAILED)
    def on_header(  # as libnghttp2 calls it
        _session: Any,
        _frame: Any,
        name: Any,
        name_size: int,
        value: Any,
        value_size: int,
        _flags: int,
        user: Any,
    ) -> int:
        stream = from_handle(user).receiving
        if stream is None:  # it was closed in the midst of its trailers
            return 0
        stream.header_bytes += name_size + value_size + _FIELD_OVERHEAD
        if stream.header_bytes > end_bytes:
            return _STREAM_FAILED
        if stream.has_head:
            return 0
        if name_size in WANTED_LENGTHS or name_size in headers.lengths:
            field = unpack(name, name_size)
            if field in WANTED or field in headers.names:
                stream.fields[field] = unpack(value, value_size)
        return 0

    return on_header


def _data() -> Any:
    from_handle, view = ffi.from_handle, ffi.buffer

    @_callback("chunk_callback", _SESSION_FAILED)
    def on_data_chunk(  # as libnghttp2 calls it
        _session: Any, _flags: int, stream_id: int, data: Any, size: int, user: Any
    ) -> int:
        from_handle(user).take(stream_id, view(data, size))
        return 0

    return on_data_chunk


def _frame() -> Any:
    from_handle = ffi.from_handle

    @_callback("frame_callback", _SESSION_FAILED)
    def on_frame(_session: Any, frame: Any, user: Any) -> int:
        head = frame.hd
        kind = head.type
        session = from_handle(user)
        if kind == HEADERS:
            session.head_complete(head.stream_id)
        if kind <= HEADERS and head.flags & _END_STREAM:
            session.ended(head.stream_id)
            return 0
        if kind <= HEADERS and head.length >= _LITTLE_BYTES:
            return 0
        return 0 if session.control(kind, head.flags & ACK) else _SESSION_FAILED

    return on_frame


def _closed() -> Any:
    from_handle = ffi.from_handle

    @_callback("close_callback", _SESSION_FAILED)
    def on_stream_close(_session: Any, stream_id: int, _error_code: int, user: Any) -> int:
        from_handle(user).closed(stream_id)
        return 0

    return on_stream_close


def _read(lib: Any) -> Any:
    from_handle, memmove = ffi.from_handle, ffi.memmove
    submit_trailer = lib.nghttp2_submit_trailer

    @_callback("read_callback", _STREAM_FAILED)
    def read(  # as libnghttp2 calls it
        handle: Any, stream_id: int, place: Any, size: int, flags: Any, _source: Any, user: Any
    ) -> int:
        session = from_handle(user)
        stream = session.streams[stream_id]
        start: int = stream.num_sent_bytes
        left = len(stream.outgoing) - start
        if left > size:  # more than a frame: it goes past libnghttp2, see send_data
            flags[0] = _NO_COPY
            stream.num_sent_bytes = start + size
            if size >= _LITTLE_BYTES:
                session.num_idle_frames = 0
            return size
        if left:
            memmove(place, memoryview(stream.outgoing)[start:] if start else stream.outgoing, left)
            stream.num_sent_bytes = start + left
        trailers = stream.trailers
        if trailers is None:
            stream.moved()
            return left or _DEFERRED
        flags[0] = _EOF_BUT_TRAILERS
        submit_trailer(handle, stream_id, trailers.array, trailers.count)
        session.answered(stream)
        return left

    return read


def _send_data() -> Any:
    from_handle, unpack = ffi.from_handle, ffi.unpack

    @_callback("send_data_callback", _SESSION_FAILED)
    def send_data(  # as libnghttp2 calls it
        _session: Any, frame: Any, frame_head: Any, size: int, _source: Any, user: Any
    ) -> int:
        session = from_handle(user)
        stream = session.streams[frame.hd.stream_id]
        end = stream.num_sent_bytes
        session.out += (
            unpack(frame_head, _FRAME_HEAD_BYTES),
            memoryview(stream.outgoing)[end - size : end],
        )
        session.out_bytes += size
        session.has_views = True
        return _PAUSE if session.out_bytes >= _PAUSE_BYTES else 0

    return send_data
