"""Where the message of a call is put together."""

from __future__ import annotations

import asyncio
import struct
import tracemalloc

import numpy as np

from penstock.server.grpc_http2.stream import Stream

_MIB = 1024 * 1024


def _stream() -> Stream:
    return Stream(1, asyncio.get_running_loop())


def _message(size: int) -> bytes:
    return struct.pack(">BI", 0, size) + bytes(i % 251 for i in range(1000)) * (size // 1000 + 1)


def _feed(stream: Stream, content: bytes, step: int) -> None:
    for start in range(0, len(content), step):
        stream.take(memoryview(content)[start : start + step])


async def test_a_message_that_announces_its_size_never_moves() -> None:
    stream, content = _stream(), _message(4 * _MIB)[: 4 * _MIB + 5]
    stream.take(memoryview(content)[:16384])
    first = np.frombuffer(stream.body, np.uint8)
    _feed(stream, content[16384:], 16384)
    assert stream.body == content
    assert np.shares_memory(first, np.frombuffer(stream.body, np.uint8))


async def test_whatever_pieces_it_comes_in() -> None:
    content = _message(20 * _MIB)[: 20 * _MIB + 5]
    for first in (1, 3, 4, 5, 6, 8 * 1024, 100_000):
        stream = _stream()
        stream.take(memoryview(content)[:first])
        _feed(stream, content[first:], 3 * _MIB)
        assert stream.drop_body() == content
        assert stream.body == b""


async def test_a_size_that_never_comes_takes_no_room() -> None:
    tracemalloc.start()
    try:
        stream = _stream()
        stream.take(memoryview(_message(9000)[:5].replace(b"\x00\x00\x23", b"\xff\xff\xff")))
        _feed(stream, bytes(64 * 1024), 16384)
        assert tracemalloc.get_traced_memory()[1] < 18 * _MIB
    finally:
        tracemalloc.stop()
