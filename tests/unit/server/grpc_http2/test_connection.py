"""A connection of the gRPC door: what calls become, whole, in pieces, wrong, or many at once."""

from __future__ import annotations

import asyncio
import gzip
import socket
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hyperframe.frame import DataFrame, RstStreamFrame, WindowUpdateFrame

from penstock.core.errors import NotFound
from penstock.server.grpc_http2.connection import Connection
from tests.fault.http2_client import head, message
from tests.unit.server.grpc_http2.wire import Wire

LARGE = bytes(range(256)) * 4096
"""1 MiB."""


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    made = Wire(max_header_bytes=1000, stream_window_bytes=64 * 1024)
    made.greet()
    yield made
    await made.close()


async def test_a_call(wire: Wire) -> None:
    wire.call(1, b"hello")
    answer = await wire.answer(1)
    assert answer.body == b"hello"
    assert answer.fields == {
        ":status": "200",
        "content-type": "application/grpc",
        "grpc-accept-encoding": "identity,deflate,gzip",
        "grpc-status": "0",
    }


async def test_answers_of_one_turn_go_out_together(wire: Wire) -> None:
    await asyncio.sleep(0)
    writes: list[int] = []
    wire.transport.write = lambda data: writes.append(len(data))
    calls = [
        frame
        for stream_id in range(1, 20, 2)
        for frame in (
            wire.headers(stream_id),
            DataFrame(stream_id, message(b"x"), flags=["END_STREAM"]),
        )
    ]
    wire.send(*calls)
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(writes) == 1


@pytest.mark.parametrize("size", [1, 4, 5, 6, 100, 16_000])
async def test_a_message_over_many_frames(wire: Wire, size: int) -> None:
    wire.send(wire.headers(1))
    data = message(LARGE[: 200 * size][:60_000])
    for start in range(0, len(data), size):
        wire.send(DataFrame(1, data[start : start + size]))
    wire.send(DataFrame(1, b"", flags=["END_STREAM"]))
    assert (await wire.answer(1)).data == data


async def test_a_large_message_is_credited_as_it_comes(wire: Wire) -> None:
    wire.send(wire.headers(1), WindowUpdateFrame(0, 2**20), WindowUpdateFrame(1, 2**21))
    data = message(LARGE)
    for start in range(0, len(data), 16_000):
        wire.send(DataFrame(1, data[start : start + 16_000]))
        await asyncio.sleep(0)
    wire.send(DataFrame(1, b"", flags=["END_STREAM"]))
    assert (await wire.answer(1)).body == LARGE
    assert isinstance(wire.methods.bodies[0], memoryview)
    credit = [f for f in wire.frames() if isinstance(f, WindowUpdateFrame) and f.stream_id == 1]
    assert sum(frame.window_increment for frame in credit) > 2**20 - 64 * 1024


def credited(wire: Wire, stream_id: int) -> int:
    """What the client was told it may send more of a call."""
    frames = [f for f in wire.frames() if isinstance(f, WindowUpdateFrame)]
    return sum(f.window_increment for f in frames if f.stream_id == stream_id)


async def test_above_the_bound_only_the_oldest_call_is_credited() -> None:
    wire = Wire(max_held_bytes=50_000, stream_window_bytes=64_000)
    wire.greet()
    data = message(LARGE[:100_000])
    wire.send(wire.headers(1), wire.headers(3))
    for start in range(0, 48_000, 16_000):
        wire.send(*(DataFrame(i, data[start : start + 16_000]) for i in (1, 3)))
    assert credited(wire, 1) == 48_000
    assert credited(wire, 3) < 48_000
    for start in range(48_000, len(data), 16_000):
        wire.send(DataFrame(1, data[start : start + 16_000]))
    wire.send(DataFrame(1, b"", flags=["END_STREAM"]))
    assert credited(wire, 3) == 48_000
    wire.send(WindowUpdateFrame(1, 2**20), WindowUpdateFrame(0, 2**20))
    assert (await wire.answer(1)).body == LARGE[:100_000]
    await wire.close()


async def test_who_is_held_back_goes_on_when_there_is_room() -> None:
    """A call that was complete held too much; it is over."""
    wire = Wire(max_held_bytes=50_000, stream_window_bytes=64_000)
    wire.greet(settings={4: 2**20})
    data = message(LARGE[:60_000])
    wire.send(wire.headers(1), wire.headers(3, head("/t/Wait")), wire.headers(5))
    wire.send(*(DataFrame(3, data[start : start + 16_000]) for start in range(0, 60_000, 16_000)))
    wire.send(DataFrame(3, b"", flags=["END_STREAM"]))
    wire.send(*(DataFrame(5, data[start : start + 16_000]) for start in (0, 16_000, 32_000)))
    await asyncio.sleep(0)
    assert credited(wire, 5) == 0
    wire.methods.go.set()
    assert (await wire.answer(3)).body == LARGE[:60_000]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert credited(wire, 5) == 48_000
    await wire.close()


async def test_a_large_answer_waits_for_the_clients_window(wire: Wire) -> None:
    wire.send(wire.headers(1))
    data = message(LARGE)
    for start in range(0, len(data), 16_000):
        wire.send(DataFrame(1, data[start : start + 16_000]))
        await asyncio.sleep(0)
    wire.send(DataFrame(1, b"", flags=["END_STREAM"]))
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(wire.answers()[1].data) == 65_535
    wire.send(WindowUpdateFrame(1, 2**21), WindowUpdateFrame(0, 2**21))
    assert (await wire.answer(1)).body == LARGE


async def test_a_client_that_does_not_read_is_not_listened_to(wire: Wire) -> None:
    await asyncio.sleep(0)
    wire.connection.pause_writing()
    assert not wire.transport.is_reading
    before = len(wire.transport.written)
    wire.call(1, b"x")
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(wire.transport.written) == before
    wire.connection.resume_writing()
    assert wire.transport.is_reading
    assert (await wire.answer(1)).body == b"x"


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        (head(method="GET"), "405", "a gRPC call is a POST"),
        (head(content_type="application/json"), "415", "got 'application/json'"),
        (head(content_type="application/grpc-web"), "415", "got 'application/grpc-web'"),
        (head(content_type="application/grpc+json"), "415", "got 'application/grpc+json'"),
        ([f for f in head() if f[0] != "content-type"], "415", "got ''"),
    ],
)
async def test_what_is_no_grpc(wire: Wire, fields: Any, status: str, text: str) -> None:
    wire.send(wire.headers(1, fields, "END_STREAM"))
    answer = await wire.answer(1)
    assert answer.fields[":status"] == status
    assert text in answer.fields["grpc-message"]


@pytest.mark.parametrize("kind", ["application/grpc+proto", "application/grpc;charset=utf-8"])
async def test_other_names_of_the_content_type(wire: Wire, kind: str) -> None:
    wire.call(1, b"x", content_type=kind)
    assert (await wire.answer(1)).body == b"x"


@pytest.mark.parametrize(
    ("more", "status", "text"),
    [
        ({"path": "/t/None"}, 12, "Method not found!"),
        ({"grpc_encoding": "snappy"}, 12, "grpc-encoding 'snappy' is not served"),
        ({"grpc_timeout": "5"}, 3, "grpc-timeout should be"),
        ({"x_long": "y" * 1000}, 8, "metadata exceeds 1000 bytes"),
    ],
)
async def test_calls_that_are_refused(
    wire: Wire, more: dict[str, str], status: int, text: str
) -> None:
    """By header fields alone, and before their messages come."""
    wire.send(wire.headers(1, head(**more)))
    answer = await wire.answer(1)
    assert (answer.status, answer.fields[":status"], answer.data) == (status, "200", b"")
    assert text in answer.fields["grpc-message"]
    await asyncio.sleep(0)
    assert wire.answers()[1].reset == 0
    wire.call(3, b"x")
    assert (await wire.answer(3)).body == b"x"


async def test_another_te_is_a_broken_call(wire: Wire) -> None:
    wire.call(1, b"x", te="gzip")
    assert (await wire.answer(1)).reset == 1


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "expected one message, got 0 bytes"),
        (message(b"abc")[:-1], "expected one message, got 7 bytes"),
        (message(b"abc") + message(b"abc"), "expected one message, got more"),
        (message(b"abc", 2), "begins with a flag of 0 or 1, got 2"),
        (message(b"abc", 1), "there is no grpc-encoding"),
    ],
)
async def test_what_is_no_message(wire: Wire, data: bytes, text: str) -> None:
    wire.send(wire.headers(1), DataFrame(1, data, flags=["END_STREAM"]))
    answer = await wire.answer(1)
    assert answer.status == 3
    assert text in answer.fields["grpc-message"]


@pytest.mark.parametrize(
    ("name", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)]
)
async def test_compressed_messages(wire: Wire, name: str, pack: Callable[[bytes], bytes]) -> None:
    wire.send(wire.headers(1, head(grpc_encoding=name)))
    flag = int(name != "identity")
    wire.send(DataFrame(1, message(pack(b"x" * 500), flag), flags=["END_STREAM"]))
    assert (await wire.answer(1)).body == b"x" * 500


@pytest.mark.parametrize(
    ("packed", "status"), [(gzip.compress(bytes(2 * 2**20)), 8), (b"no gzip", 3)]
)
async def test_a_bomb_and_a_corrupt_message(packed: bytes, status: int) -> None:
    wire = Wire(max_message_bytes=2**20)
    wire.greet()
    wire.send(wire.headers(1, head(grpc_encoding="gzip")))
    wire.send(DataFrame(1, message(packed, 1), flags=["END_STREAM"]))
    assert (await wire.answer(1)).status == status
    await wire.close()


async def test_what_a_method_knows_of_its_call(wire: Wire) -> None:
    wire.call(1, b"x", grpc_timeout="10S", traceparent="00-1-2-01", x_bin="AAA")
    await wire.answer(1)
    (call,) = wire.methods.calls
    assert 9 < (call.time_remaining() or 0) <= 10
    assert call.metadata("traceparent") == "00-1-2-01"
    assert call.metadata("authorization") == ""
    wire.call(3)
    await wire.answer(3)
    assert wire.methods.calls[1].time_remaining() is None


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (NotFound("no 100% é\n"), 5, "no 100%25 %C3%A9%0A"),
        (KeyError("a secret of ours"), 13, "internal error; the server's log has more"),
    ],
)
async def test_a_method_that_raises(wire: Wire, error: Exception, status: int, text: str) -> None:
    wire.methods.error = error
    wire.call(1, b"x")
    answer = await wire.answer(1)
    assert (answer.status, answer.fields["grpc-message"]) == (status, text)


async def test_a_call_that_is_taken_back_is_cancelled(wire: Wire) -> None:
    wire.call(1, b"x", "/t/Wait")
    for _ in range(3):
        await asyncio.sleep(0)
    wire.send(RstStreamFrame(1, 8))
    for _ in range(3):
        await asyncio.sleep(0)
    assert wire.methods.num_cancelled == 1
    assert 1 not in wire.answers()


async def test_a_stream_of_messages(wire: Wire) -> None:
    wire.send(wire.headers(1, head("/t/Each")))
    data = b"".join(message(text) for text in (b"a", b"", b"ccc"))
    wire.send(DataFrame(1, data[:7]))
    for _ in range(5):
        await asyncio.sleep(0)
    assert wire.answers()[1].data == message(b"aa")
    wire.send(DataFrame(1, data[7:], flags=["END_STREAM"]))
    answer = await wire.answer(1)
    assert answer.data == message(b"aa") + message(b"") + message(b"cccccc")
    assert answer.status == 0


@pytest.mark.parametrize(
    ("data", "status"), [(message(b"bad"), 5), (message(b"abc")[:-1], 3), (message(b"x", 7), 3)]
)
async def test_a_stream_that_goes_wrong(wire: Wire, data: bytes, status: int) -> None:
    wire.send(wire.headers(1, head("/t/Each")), DataFrame(1, message(b"a")))
    for _ in range(5):
        await asyncio.sleep(0)
    wire.send(DataFrame(1, data, flags=["END_STREAM"]))
    answer = await wire.answer(1)
    assert (answer.data, answer.status) == (message(b"aa"), status)


async def test_a_stream_that_is_never_answered_ends_well(wire: Wire) -> None:
    wire.send(wire.headers(1, head("/t/Each"), "END_STREAM"))
    answer = await wire.answer(1)
    assert (answer.data, answer.status) == (b"", 0)


async def test_a_drain(wire: Wire) -> None:
    """Refuses nothing until the client knows; then waits for what is under way, and closes."""
    wire.call(1, b"x", "/t/Wait")
    wire.connection.drain()
    for _ in range(3):
        await asyncio.sleep(0)
    assert wire.goaways() == [(2**31 - 1, 0)]
    wire.call(3, b"late")
    assert (await wire.answer(3)).body == b"late"
    wire.acknowledge()
    for _ in range(3):
        await asyncio.sleep(0)
    assert wire.goaways() == [(2**31 - 1, 0), (3, 0)]
    wire.call(5, b"too late")
    assert not wire.transport.is_closed
    wire.methods.go.set()
    assert (await wire.answer(1)).body == b"x"
    await asyncio.sleep(0)
    assert 5 not in wire.answers()
    assert wire.transport.is_closed


async def test_a_machine_that_is_gone_is_noticed() -> None:
    """The kernel asks after idle clients."""
    wire = Wire()
    with socket.socket() as connected:
        wire.transport.get_extra_info = lambda name: connected
        other = Connection(wire.server, asyncio.get_running_loop())
        other.connection_made(wire.transport)
        other.connection_lost(None)
        assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
    await wire.close()
