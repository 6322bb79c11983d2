"""A connection of the gRPC door without a socket: frames in, answers out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any

import hpack
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
)

from penstock.core.errors import NotFound
from penstock.dialects.open_inference.grpc_wire import Buffer
from penstock.router.route_table import HeaderNames
from penstock.server.grpc_api.call import Call, GrpcOptions
from penstock.server.grpc_http2.connection import Connection
from penstock.server.grpc_http2.library import require_library
from penstock.server.grpc_http2.limits import Http2Limits
from penstock.server.grpc_http2.server import Http2GrpcServer
from tests.fault.http2_client import PREFACE, Answer, head, message

_HEAD_BYTES = 9


class FakeTransport:
    """Takes what is written; never full."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.is_closed = False
        self.is_reading = True

    def write(self, data: bytes) -> None:
        self.written += data

    def writelines(self, parts: Sequence[Buffer]) -> None:
        for part in parts:
            self.written += part

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str) -> None:
        return None


class Methods:
    """What can be called."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.bodies: list[Buffer] = []
        self.error: Exception | None = None
        self.go = asyncio.Event()
        self.num_cancelled = 0

    async def echo(self, body: Buffer, call: Call) -> Sequence[Buffer]:
        self.calls.append(call)
        self.bodies.append(body)
        if self.error is not None:
            raise self.error
        return [body[:3], body[3:]]

    async def wait(self, body: Buffer, call: Call) -> Sequence[Buffer]:
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.num_cancelled += 1
            raise
        return [body]

    async def each(self, messages: AsyncIterator[Buffer], call: Call) -> AsyncIterator[bytes]:
        async for body in messages:
            if body == b"bad":
                raise NotFound("bad")
            yield bytes(body) * 2


class Wire:
    """One client, to be used within a running event loop; ``close`` it."""

    def __init__(self, **limits: Any) -> None:
        self.methods = Methods()
        api: Any = SimpleNamespace(
            unary={"/t/Echo": self.methods.echo, "/t/Wait": self.methods.wait},
            streaming={"/t/Each": self.methods.each},
            health=SimpleNamespace(start=lambda: None, stop=lambda: None),
            headers=HeaderNames(),
        )
        options = GrpcOptions(max_message_bytes=limits.pop("max_message_bytes", -1))
        self.server = Http2GrpcServer(api, options, require_library(), Http2Limits(**limits))
        self.transport: Any = FakeTransport()
        self.connection = Connection(self.server, asyncio.get_running_loop())
        self.connection.connection_made(self.transport)
        self.encoder = hpack.Encoder()

    def greet(self, **settings: Any) -> None:
        self.feed(PREFACE)
        self.send(SettingsFrame(0, settings=settings.get("settings") or {}))

    def feed(self, data: bytes) -> None:
        self.connection.data_received(data)

    def send(self, *frames: Frame) -> None:
        self.feed(b"".join(frame.serialize() for frame in frames))

    def headers(self, stream_id: int, fields: Any = None, *flags: str) -> HeadersFrame:
        block = self.encoder.encode(head() if fields is None else fields)
        return HeadersFrame(stream_id, block, flags=["END_HEADERS", *flags])

    def call(self, stream_id: int, body: bytes = b"", path: str = "/t/Echo", **more: str) -> None:
        data = DataFrame(stream_id, message(body), flags=["END_STREAM"])
        self.send(self.headers(stream_id, head(path, **more)), data)

    async def answer(self, stream_id: int) -> Answer:
        """A call's answer, once it is over."""
        async with asyncio.timeout(10):
            while True:
                answer = self.answers().get(stream_id, Answer())
                if answer.has_ended or answer.reset is not None:
                    return answer
                await asyncio.sleep(0)

    def frames(self) -> list[Frame]:
        """What came so far."""
        rest, frames = memoryview(bytes(self.transport.written)), []
        while len(rest) >= _HEAD_BYTES:
            frame, size = Frame.parse_frame_header(rest[:_HEAD_BYTES])
            frame.parse_body(rest[_HEAD_BYTES : _HEAD_BYTES + size])
            frames.append(frame)
            rest = rest[_HEAD_BYTES + size :]
        assert not len(rest)
        return frames

    def answers(self) -> dict[int, Answer]:
        """What came so far of each call."""
        decoder, answers = hpack.Decoder(), dict[int, Answer]()
        for frame in self.frames():
            answer = answers.setdefault(frame.stream_id, Answer())
            if isinstance(frame, HeadersFrame):
                answer.fields |= dict(decoder.decode(frame.data))
            elif isinstance(frame, DataFrame):
                answer.data += frame.data
            elif isinstance(frame, RstStreamFrame):
                answer.reset = frame.error_code
            answer.has_ended = answer.has_ended or "END_STREAM" in frame.flags
        return answers

    def goaways(self) -> list[tuple[int, int]]:
        """Last call and error of each GOAWAY."""
        return [
            (frame.last_stream_id, frame.error_code)
            for frame in self.frames()
            if isinstance(frame, GoAwayFrame)
        ]

    def acknowledge(self) -> None:
        """Answer the server's PINGs."""
        for frame in self.frames():
            if isinstance(frame, PingFrame) and "ACK" not in frame.flags:
                self.send(PingFrame(0, opaque_data=frame.opaque_data, flags=["ACK"]))

    async def close(self) -> None:
        """The client is gone."""
        self.connection.connection_lost(None)
        await self.server.stop(0)
        self.server.engine.callbacks.close()
