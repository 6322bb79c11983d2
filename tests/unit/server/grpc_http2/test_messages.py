"""What one client's messages hold, and how they are read."""

from __future__ import annotations

import asyncio
import gzip
import struct
import threading
import tracemalloc
from collections.abc import AsyncIterator, Sequence

import pytest
from hyperframe.frame import DataFrame, SettingsFrame, WindowUpdateFrame

from penstock.core.errors import InvalidArgument, TooLarge
from penstock.dialects.open_inference.grpc_wire import Buffer
from penstock.server.grpc_api.call import Call
from penstock.server.grpc_http2 import messages
from penstock.server.grpc_http2.messages import MessageFormat, MessageQueue, frame_message
from tests.fault.http2_client import head, message
from tests.unit.server.grpc_http2.wire import Wire

WINDOW = 64 * 1024
FRAME = 16_000
PLAIN = MessageFormat("identity", 1000, 1000)
MIB = 2**20


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    made = Wire(stream_window_bytes=WINDOW)
    made.greet()
    await asyncio.sleep(0)
    made.send(SettingsFrame(0, flags=["ACK"]))
    yield made
    await made.close()


class Reader:
    """A method that reads a message each time it is let."""

    def __init__(self, wire: Wire) -> None:
        self.go = asyncio.Semaphore(0)
        self.read: list[Buffer] = []
        wire.server._streaming[b"/t/Each"] = self.each

    async def each(self, messages: AsyncIterator[Buffer], call: Call) -> AsyncIterator[bytes]:
        await self.go.acquire()
        async for body in messages:
            self.read.append(body)
            yield b""
            await self.go.acquire()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def credited(wire: Wire, stream_id: int) -> int:
    frames = [f for f in wire.frames() if isinstance(f, WindowUpdateFrame)]
    return sum(f.window_increment for f in frames if f.stream_id == stream_id)


async def send_what_may(wire: Wire, stream_id: int, data: bytes, sent: int = 0) -> int:
    """Send as much of ``data`` as the server lets a client; how far that went."""
    while True:
        await settle()
        left = min(WINDOW + credited(wire, stream_id), len(data)) - sent
        if left <= 0:
            return sent
        part = data[sent : sent + min(left, FRAME)]
        wire.send(DataFrame(stream_id, part))
        sent += len(part)


async def test_a_client_is_told_to_go_on_when_its_message_is_read(wire: Wire) -> None:
    reader = Reader(wire)
    wire.send(wire.headers(1, head("/t/Each")))
    data = message(b"x" * 100_000) * 10
    sent = await send_what_may(wire, 1, data)
    assert 100_005 <= sent <= 100_005 + WINDOW
    assert wire.connection._session._held_bytes == sent
    for _ in range(10):
        reader.go.release()
        sent = await send_what_may(wire, 1, data, sent)
    await settle()
    assert [len(body) for body in reader.read] == [100_000] * 10
    assert wire.connection._session._held_bytes == 0


async def test_a_message_of_a_stream_has_a_limit_of_its_own(wire: Wire) -> None:
    wire.send(wire.headers(1, head("/t/Each")), DataFrame(1, struct.pack(">BI", 0, MIB + 1)))
    answer = await wire.answer(1)
    assert answer.status == 8
    assert "exceeds the maximum of 1048576 bytes" in answer.fields["grpc-message"]


async def test_a_packed_message_of_a_stream_is_unpacked_when_it_is_read(wire: Wire) -> None:
    reader = Reader(wire)
    wire.send(wire.headers(1, head("/t/Each", grpc_encoding="gzip")))
    packed = message(gzip.compress(bytes(MIB)), 1)
    tracemalloc.start()
    wire.send(DataFrame(1, packed * 8))
    assert tracemalloc.get_traced_memory()[0] < MIB
    tracemalloc.stop()
    reader.go.release()
    await settle()
    assert [len(body) for body in reader.read] == [MIB]


async def test_a_bomb_in_a_stream(wire: Wire) -> None:
    wire.send(wire.headers(1, head("/t/Each", grpc_encoding="gzip")))
    wire.send(DataFrame(1, message(gzip.compress(bytes(MIB + 1)), 1)))
    assert (await wire.answer(1)).status == 8


async def test_others_have_their_turn_between_two_messages(wire: Wire) -> None:
    wire.send(wire.headers(1, head("/t/Each")), DataFrame(1, message(b"") * 1000))
    for _ in range(20):
        await asyncio.sleep(0)
    assert wire.connection._session._held_bytes > 0
    await settle()


async def test_a_large_message_is_unpacked_by_a_thread() -> None:
    threads: list[int] = []

    class Noted(MessageFormat):
        def _unpack(self, packed: Buffer) -> bytes:
            threads.append(threading.get_ident())
            return super()._unpack(packed)

    form = Noted("gzip", -1, 10 * MIB)
    for size in (messages._UNPACK_HERE_BYTES - 100, messages._UNPACK_HERE_BYTES + 100):
        body = threading.get_ident().to_bytes(8) + bytes(size)
        packed = message(gzip.compress(body, 0), 1)
        assert bytes(await form.read(packed)) == body
    assert threads[0] == threading.get_ident() != threads[1]


async def test_an_idle_connection_holds_nothing_of_its_last_call(wire: Wire) -> None:
    async def look(body: Buffer, call: Call) -> Sequence[Buffer]:
        assert call.body == b""  # type: ignore[attr-defined]  # decoded: it is the method's
        return [bytes(len(body))]

    wire.server._unary[b"/t/Echo"] = look
    wire.send(wire.headers(1))
    data = message(bytes(20_000))
    wire.send(*(DataFrame(1, data[i : i + FRAME]) for i in range(0, len(data), FRAME)))
    wire.send(DataFrame(1, b"", flags=["END_STREAM"]))
    assert (await wire.answer(1)).body == bytes(20_000)
    await settle()
    assert wire.connection._session.receiving is None
    assert wire.connection._session._held_bytes == 0


async def test_an_answer_over_the_limit() -> None:
    wire = Wire(max_message_bytes=1000)
    wire.greet()

    async def twice(body: Buffer, call: Call) -> Sequence[Buffer]:
        return [body, body]

    wire.server._unary[b"/t/Echo"] = twice
    for stream_id, path in ((1, "/t/Each"), (3, "/t/Echo")):
        wire.call(stream_id, b"x" * 600, path)
        answer = await wire.answer(stream_id)
        assert answer.status == 8
        text = "the answer of 1200 bytes exceeds the maximum of 1000 bytes"
        assert answer.fields["grpc-message"] == text
    await wire.close()


def test_an_answer_as_large_as_may_be() -> None:
    assert frame_message([b"ab", b"c"], 3) == message(b"abc")
    with pytest.raises(TooLarge, match="the answer of 3 bytes"):
        frame_message([b"ab", b"c"], 2)


async def test_a_queue() -> None:
    queue = MessageQueue(PLAIN)
    data = message(b"ab") + message(b"") + message(b"c")
    for i in range(7):
        assert not queue.has_message()
        queue.feed(data[i : i + 1])
    assert queue.has_message()
    queue.feed(data[7:])
    queue.end()
    assert [await queue.take() for _ in range(4)] == [
        message(b"ab"),
        message(b""),
        message(b"c"),
        None,
    ]


@pytest.mark.parametrize(
    ("data", "error", "is_known_early"),
    [
        (message(b"abc")[:-1], InvalidArgument, False),
        (b"\x07\0\0\0\0", InvalidArgument, True),
        (struct.pack(">BI", 0, 1001), TooLarge, True),
    ],
)
async def test_a_queue_of_what_is_no_message(
    data: bytes, error: type[Exception], is_known_early: bool
) -> None:
    queue = MessageQueue(PLAIN)
    queue.feed(message(b"a") + data)
    assert await queue.take() == message(b"a")
    assert queue.has_message() is is_known_early
    queue.end()
    with pytest.raises(error):
        await queue.take()
