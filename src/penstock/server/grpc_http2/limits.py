"""Http2Limits: what one client of the gRPC door may take."""

from __future__ import annotations

import msgspec


class Http2Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bounds of one connection.

    Attributes:
        max_streams: calls at a time.
        max_header_bytes: the most a call's metadata may take, as HTTP/2 counts it: 32 bytes more
            for each entry than its name and value have.
        max_frame_bytes: the most of a message that a client may send in one frame.
        stream_window_bytes: what a client may send of one call before it is told to go on.
        connection_window_bytes: the same of all its calls.
        max_held_bytes: held of messages, incomplete, unread or not answered; above it only the
            client of the oldest call with one message that is incomplete is told to go on, the
            others have ``stream_window_bytes`` at most.
        max_unpacked_bytes: the most a packed message may unpack to where messages have no limit.
        max_streamed_bytes: the most a message of a call with any number of them may take, as it
            came and unpacked. While one waits to be read, the client is not told to go on.
        max_idle_frames: frames in a row that bring no call on, in one ``sweep_s``.
        max_settings: entries of one SETTINGS frame.
        max_unsent_acks: answers to PING and SETTINGS that wait for the client to read.
        reset_burst: streams that a client may cancel at once.
        resets_per_s: streams it may cancel in the long run, each second.
        preface_timeout_s: how long a client may take to speak HTTP/2.
        request_timeout_s: how long a client that may send more of a message may go without, in
            seconds.
        write_timeout_s: how long a client may go without reading more of an answer, in seconds.
        goaway_timeout_s: how long a client may take to notice that the server is on its way out.
        sweep_s: how often connections are looked at, in seconds.
    """

    max_streams: int = 256
    max_header_bytes: int = 16 * 1024
    max_frame_bytes: int = 256 * 1024
    stream_window_bytes: int = 1024 * 1024
    connection_window_bytes: int = 16 * 1024 * 1024
    max_held_bytes: int = 64 * 1024 * 1024
    max_unpacked_bytes: int = 1024 * 1024 * 1024
    max_streamed_bytes: int = 1024 * 1024
    max_idle_frames: int = 10_000
    max_settings: int = 32
    max_unsent_acks: int = 1000
    reset_burst: int = 10_000
    resets_per_s: int = 1_000
    preface_timeout_s: float = 30.0
    request_timeout_s: float = 60.0
    write_timeout_s: float = 60.0
    goaway_timeout_s: float = 1.0
    sweep_s: float = 1.0
