"""A connection that waits, drains or breaks: who is let go, and who is not."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    HeadersFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from penstock.dialects.open_inference.grpc_wire import Buffer
from penstock.server.grpc_api.call import Call
from penstock.server.grpc_http2.connection import Connection
from tests.fault.http2_client import head, message
from tests.unit.server.grpc_http2.wire import FakeTransport, Wire

FRAME = 16_000
DATA = message(bytes(200_000))


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def credited(wire: Wire, stream_id: int) -> int:
    frames = [f for f in wire.frames() if isinstance(f, WindowUpdateFrame)]
    return sum(f.window_increment for f in frames if f.stream_id == stream_id)


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    made = Wire(max_held_bytes=50_000, stream_window_bytes=64_000, request_timeout_s=60.0)
    made.greet(settings={4: 2**20})
    yield made
    await made.close()


def part(stream_id: int, start: int) -> DataFrame:
    return DataFrame(stream_id, DATA[start : start + FRAME])


async def test_an_open_conversation_is_not_the_oldest_upload(wire: Wire) -> None:
    wire.send(wire.headers(1, head("/t/Each")), wire.headers(3))
    for start in range(0, 10 * FRAME, FRAME):
        assert start < 64_000 + credited(wire, 3)
        wire.send(part(3, start))
        await settle()
    assert credited(wire, 3) >= 9 * FRAME


async def test_an_upload_takes_as_long_as_it_moves(wire: Wire) -> None:
    wire.send(wire.headers(1))
    now_s = asyncio.get_running_loop().time()
    for i in range(5):
        wire.send(part(1, i * FRAME))
        wire.connection.sweep(now_s + 50 * i)
    await settle()
    assert 1 not in wire.answers() or wire.answers()[1].status is None
    wire.connection.sweep(now_s + 50 * 4 + 61)
    answer = await wire.answer(1)
    assert answer.status == 4
    assert answer.fields["grpc-message"] == "nothing of the message came for 60 seconds"


async def test_an_upload_that_is_held_back_is_not_late(wire: Wire) -> None:
    """Its time begins when its client may go on."""
    wire.send(wire.headers(1), wire.headers(3))
    for start in range(0, 3 * FRAME, FRAME):
        wire.send(part(1, start), part(3, start))
    now_s = asyncio.get_running_loop().time()
    wire.connection.sweep(now_s)
    wire.connection.sweep(now_s + 61)
    assert (await wire.answer(1)).status == 4
    await settle()
    assert wire.answers()[3].status is None
    assert credited(wire, 3) == 3 * FRAME
    wire.connection.sweep(now_s + 62)
    wire.connection.sweep(now_s + 120)
    await settle()
    assert wire.answers()[3].status is None
    wire.connection.sweep(now_s + 124)
    assert (await wire.answer(3)).status == 4


async def test_who_is_not_listened_to_is_not_late(wire: Wire) -> None:
    wire.send(wire.headers(1), part(1, 0))
    now_s = asyncio.get_running_loop().time()
    wire.connection.sweep(now_s)
    wire.connection.pause_writing()
    wire.connection.sweep(now_s + 30)
    wire.connection.resume_writing()
    wire.connection.sweep(now_s + 61)
    await settle()
    assert 1 not in wire.answers() or wire.answers()[1].status is None


async def test_the_time_to_read_begins_with_the_answer(wire: Wire) -> None:
    wire.send(SettingsFrame(0, settings={4: 0}), wire.headers(1))
    now_s = asyncio.get_running_loop().time()
    wire.connection.sweep(now_s)
    wire.send(DataFrame(1, message(b"x"), flags=["END_STREAM"]))
    wire.connection.sweep(now_s + 61)
    await settle()
    assert wire.answers()[1].reset is None
    wire.send(WindowUpdateFrame(1, 100))
    assert (await wire.answer(1)).body == b"x"


async def test_a_call_that_is_given_up_in_the_midst_of_its_trailers(wire: Wire) -> None:
    wire.send(wire.headers(1))
    block = wire.encoder.encode([("x-a", "1"), ("x-b", "2")])
    wire.send(HeadersFrame(1, block[:3], flags=["END_STREAM"]))
    wire.connection._session.reset(wire.connection._session.streams[1], 8)
    await settle()
    wire.connection.flush_soon()
    await settle()
    assert wire.connection._session.receiving is None
    wire.send(ContinuationFrame(1, block[3:], flags=["END_HEADERS"]))
    wire.call(3, b"x")
    assert (await wire.answer(3)).body == b"x"


@pytest.mark.parametrize("path", ["/t/Echo", "/t/Each"])
async def test_a_method_that_is_called_off_fails_its_call_alone(wire: Wire, path: str) -> None:
    async def echo(body: Buffer, call: Call) -> Sequence[Buffer]:
        raise asyncio.CancelledError

    async def each(messages: AsyncIterator[Buffer], call: Call) -> AsyncIterator[bytes]:
        raise asyncio.CancelledError
        yield b""

    wire.server._unary[b"/t/Echo"] = echo
    wire.server._streaming[b"/t/Each"] = each
    wire.call(1, b"x", path)
    assert (await wire.answer(1)).status == 1
    wire.call(3, b"x", "/t/Wait")
    wire.methods.go.set()
    assert (await wire.answer(3)).body == b"x"


async def test_a_library_that_cannot_write_ends_the_connection(
    wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def __init__(self, lib: Any) -> None:
            self._lib = lib

        def __getattr__(self, name: str) -> Any:
            return getattr(self._lib, name)

        def nghttp2_session_mem_send(self, session: Any, place: Any) -> int:
            return -901

    wire.connection._session._lib = Broken(wire.connection._session._lib)
    wire.call(1, b"x")
    await settle()
    assert wire.transport.is_closed
    assert "libnghttp2 says -901" in caplog.text


async def test_a_sweep_that_fails_is_not_the_last(wire: Wire) -> None:
    def fail(now_s: float) -> None:
        raise RuntimeError

    wire.connection.sweep = fail  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        wire.server._sweep()
    assert wire.server._sweeper is not None
    wire.server._sweeper.cancel()
    wire.server._sweeper = None


async def test_who_comes_as_the_drain_begins_is_sent_away(wire: Wire) -> None:
    wire.call(1, b"x", "/t/Wait")
    stopping = asyncio.create_task(wire.server.stop(5))
    await settle()
    late, transport = Connection(wire.server, asyncio.get_running_loop()), FakeTransport()
    late.connection_made(transport)  # type: ignore[arg-type]
    assert transport.is_closed
    late.data_received(b"PRI")
    wire.methods.go.set()
    wire.acknowledge()
    assert (await wire.answer(1)).body == b"x"
    wire.connection.connection_lost(None)
    await asyncio.wait_for(stopping, 1)
    late.connection_lost(None)


async def test_who_comes_when_nobody_is_left_is_sent_away() -> None:
    """There is nothing any more that a session could be made of."""
    wire = Wire()
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    await wire.server.start_on(listening)
    wire.connection.connection_lost(None)
    await wire.server.stop(0)
    late, transport = Connection(wire.server, asyncio.get_running_loop()), FakeTransport()
    late.connection_made(transport)  # type: ignore[arg-type]
    assert transport.is_closed
    late.connection_lost(None)
