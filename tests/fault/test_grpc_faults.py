"""Clients of the gRPC door on libnghttp2 that break HTTP/2, or their word, hurt nobody else."""

from __future__ import annotations

import gzip
import random
import signal
import socket
import struct
import time
from collections.abc import Iterator

import hpack
import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.fault.http2_client import (
    PREFACE,
    Client,
    Ended,
    GrpcProcess,
    Neighbour,
    head,
    message,
)
from tests.interop.live import eventually

pytestmark = [pytest.mark.fault, pytest.mark.timed]  # a neighbour is held to a time in each

MIB = 1024 * 1024
LIMITS = {
    "preface_timeout_s": 0.5,
    "request_timeout_s": 0.5,
    "write_timeout_s": 0.5,
    "sweep_s": 0.05,
    "max_idle_frames": 2000,
    "reset_burst": 1000,
    "resets_per_s": 33,
    "max_held_bytes": 8 * MIB,
}
CALM, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 11, 1, 2, 3
BOUND_BYTES = 48 * MIB
SOON_S = 2.0


@pytest.fixture(scope="module")
def server() -> Iterator[GrpcProcess]:
    with GrpcProcess(limits=LIMITS, options={"max_message_bytes": 4 * MIB}) as running:
        with running.client() as client:  # what the first call imports is no growth
            client.call(1)
            client.answer(1)
        running.start_bytes = running.rss_bytes()
        yield running


@pytest.fixture
def server_without_limits() -> Iterator[GrpcProcess]:
    with GrpcProcess() as running:
        yield running


@pytest.fixture(autouse=True)
def nobody_is_hurt(request: pytest.FixtureRequest) -> Iterator[None]:
    """A neighbour is served throughout, and afterwards nothing is left behind."""
    if "server" not in request.fixturenames:
        yield
        return
    server: GrpcProcess = request.getfixturevalue("server")
    with Neighbour(server.port) as neighbour:
        yield
    assert neighbour.slowest_s < SOON_S
    eventually(lambda: server.counts()["under_way"] == 0)
    assert server.grown_bytes() < BOUND_BYTES


def conversation(client: Client) -> bytes:
    """Three calls, as they go over the wire."""
    frames = [SettingsFrame(0)]
    for stream_id in (1, 3, 5):
        frames.append(client.headers(stream_id))
        data = message(bytes(100 * stream_id))
        frames.append(DataFrame(stream_id, data[:50]))
        frames.append(DataFrame(stream_id, data[50:], flags=["END_STREAM"]))
    frames.append(PingFrame(0, opaque_data=b"12345678"))
    return PREFACE + b"".join(frame.serialize() for frame in frames)


def take_settings(client: Client) -> None:
    """Have the server's windows, as any client has after a moment."""
    while not isinstance(client.read(), SettingsFrame):
        pass
    client.send(SettingsFrame(0, flags=["ACK"]))


def outlives(server: GrpcProcess, wire: bytes) -> None:
    """Send bytes; whatever they are, the server answers or closes."""
    with server.client(greets=False) as client:
        try:
            client.write(wire)
            client.socket.shutdown(socket.SHUT_WR)
            while client.socket.recv(1 << 16):
                pass
        except ConnectionError:
            pass


def test_random_and_mutated_bytes(server: GrpcProcess) -> None:
    """10,000 frames that are none, or nearly some."""
    chance = random.Random(16)
    with server.client(greets=False) as client:
        good = conversation(client)
    for _ in range(500):
        wire = bytearray(good)
        for _ in range(chance.randint(1, 20)):
            wire[chance.randrange(len(PREFACE), len(wire))] = chance.randrange(256)
        outlives(server, bytes(wire))
    for _ in range(250):
        frames = b"".join(
            struct.pack(
                ">BHBBI",
                0,
                size := chance.choice([0, 1, 4, 5, 8, 40]),
                chance.randrange(12),
                chance.randrange(256),
                chance.choice([0, 1, 2, 3, 5, 2**31 - 1]),
            )
            + chance.randbytes(size)
            for _ in range(20)
        )
        outlives(server, PREFACE + SettingsFrame(0).serialize() + frames)


def test_a_cut_in_the_midst_of_anything(server: GrpcProcess) -> None:
    with server.client(greets=False) as client:
        good = conversation(client)
    for end in range(0, len(good), 3):
        outlives(server, good[:end])


@pytest.mark.parametrize(
    "first",
    [b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"\0" * 24],
)
def test_what_is_no_http2_is_closed(server: GrpcProcess, first: bytes) -> None:
    with server.client(greets=False) as client:
        client.write(first)
        assert client.read_to_end() is not None


def test_a_client_that_says_nothing_is_let_go(server: GrpcProcess) -> None:
    with server.client(greets=False) as client:
        client.read_to_end()
    with server.client(greets=False) as client:
        client.write(PREFACE[:10])
        client.read_to_end()


def test_an_idle_client_is_kept(server: GrpcProcess) -> None:
    with server.client() as client:
        client.socket.settimeout(1.0)
        with pytest.raises(TimeoutError):
            client.read_to_end()
        client.socket.settimeout(10.0)
        client.call(1, body=b"still here")
        assert client.answer(1).body == b"still here"


def test_headers_that_never_end(server: GrpcProcess) -> None:
    with server.client() as client:
        client.send(HeadersFrame(1, client.encoder.encode(head())))
        assert client.read_to_end() == PROTOCOL_ERROR


def test_a_message_that_never_ends(server: GrpcProcess) -> None:
    """Its client is told, and may go on with other calls."""
    with server.client() as client:
        client.send(client.headers(1), DataFrame(1, message(b"x" * 100)[:50]))
        answer = client.answer(1)
        assert answer.status == 4
        assert answer.fields["grpc-message"] == "nothing of the message came for 0.5 seconds"
        client.call(3, body=b"x")
        assert client.answer(3).body == b"x"


def test_a_slow_message_goes_on_for_as_long_as_it_moves(server: GrpcProcess) -> None:
    with server.client() as client:
        client.send(client.headers(1))
        data = message(b"x" * 10)
        began_s = time.monotonic()
        for i in range(len(data)):
            client.send(DataFrame(1, data[i : i + 1]))
            time.sleep(0.1)
        client.send(DataFrame(1, b"", flags=["END_STREAM"]))
        assert client.answer(1).body == b"x" * 10
        assert time.monotonic() - began_s > 2 * LIMITS["request_timeout_s"]


def test_a_message_in_single_bytes(server: GrpcProcess) -> None:
    with server.client() as client:
        client.send(client.headers(1))
        data = message(b"x" * 200)
        client.send(*(DataFrame(1, data[i : i + 1]) for i in range(len(data))))
        client.send(DataFrame(1, b"", flags=["END_STREAM"]))
        assert client.answer(1).body == b"x" * 200


def test_rapid_reset(server: GrpcProcess) -> None:
    """Thousands of calls that are cancelled as soon as they are made: no more than is let begin."""
    before = server.counts()["begun"]
    with server.client() as client:
        try:
            for first in range(1, 20_000, 200):
                frames = []
                for stream_id in range(first, first + 200, 2):
                    frames += [client.headers(stream_id, head("/t/Wait")), client.reset(stream_id)]
                client.send(*frames)
        except ConnectionError:
            pass
        assert client.read_to_end() is not None
    assert server.counts()["begun"] - before <= 1100


def test_calls_that_are_cancelled_later_are_cancelled_here(server: GrpcProcess) -> None:
    before = server.counts()
    with server.client() as client:
        for stream_id in range(1, 200, 2):
            client.call(stream_id, "/t/Wait")
        eventually(lambda: server.counts()["under_way"] == 100)
        client.send(*(client.reset(stream_id) for stream_id in range(1, 200, 2)))
        eventually(lambda: server.counts()["cancelled"] - before["cancelled"] == 100)
        client.call(201, body=b"x")
        assert client.answer(201).body == b"x"


def test_a_client_that_disappears_cancels_its_calls(server: GrpcProcess) -> None:
    before = server.counts()
    with server.client() as client:
        for stream_id in range(1, 40, 2):
            client.call(stream_id, "/t/Wait")
        eventually(lambda: server.counts()["under_way"] == 20)
        linger = struct.pack("ii", 1, 0)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    eventually(lambda: server.counts()["cancelled"] - before["cancelled"] == 20)


def test_more_calls_than_are_served_at_a_time(server: GrpcProcess) -> None:
    """REFUSED_STREAM, which clients try again."""
    with server.client() as client:
        for stream_id in range(1, 2 * 300, 2):
            client.call(stream_id, "/t/Wait")
        assert client.answer(2 * 257 + 1).reset == 7
        client.send(*(client.reset(stream_id) for stream_id in range(1, 600, 2)))


@pytest.mark.parametrize(
    "frame",
    [
        PingFrame(0, opaque_data=b"12345678"),
        SettingsFrame(0, settings={4: 1000}),
        WindowUpdateFrame(0, 1),
        DataFrame(1, b""),
    ],
    ids=["ping", "settings", "window_update", "empty_data"],
)
def test_a_flood_of_frames_that_bring_nothing_on(server: GrpcProcess, frame: DataFrame) -> None:
    with server.client() as client:
        client.send(client.headers(1))
        with pytest.raises((Ended, ConnectionError)):  # noqa: PT012  # who is faster?
            for _ in range(400):
                client.write(frame.serialize() * 1000)
                client.socket.settimeout(0.0005)
                try:
                    client.read()
                except TimeoutError:
                    continue
        client.socket.settimeout(5.0)
        assert client.read_to_end() in (CALM, INTERNAL_ERROR, None)


def test_a_flood_of_continuations(server: GrpcProcess) -> None:
    with server.client() as client:
        block = hpack.Encoder().encode([(f"x-{i}", "v" * 50) for i in range(100)])
        client.send(HeadersFrame(1, client.encoder.encode(head())))
        with pytest.raises((Ended, ConnectionError)):  # noqa: PT012  # who is faster?
            for _ in range(10_000):
                client.send(*(ContinuationFrame(1, block) for _ in range(10)))
            client.read_to_end()
            raise Ended


def test_an_hpack_bomb(server: GrpcProcess) -> None:
    """One entry of 4 KB in the table, and 10,000 references to it."""
    with server.client() as client:
        bomb = client.encoder.encode([*head(), ("x", "y" * 4000)])
        bomb += client.encoder.encode([("x", "y" * 4000)]) * 10_000
        client.send(HeadersFrame(1, bomb, flags=["END_HEADERS", "END_STREAM"]))
        assert client.answer(1).reset == INTERNAL_ERROR
        assert len(bomb) < 20_000


def test_too_much_metadata(server: GrpcProcess) -> None:
    with server.client() as client:
        client.send(client.headers(1, [*head(), ("x", "y" * 17_000)]))
        answer = client.answer(1)
        assert answer.status == 8
        assert answer.fields["grpc-message"] == "the call's metadata exceeds 16384 bytes"


def test_a_window_that_overflows(server: GrpcProcess) -> None:
    with server.client() as client:
        client.send(WindowUpdateFrame(0, 2**31 - 1))
        assert client.read_to_end() == FLOW_CONTROL_ERROR
    with server.client() as client:
        client.call(1, "/t/Wait")
        client.send(WindowUpdateFrame(1, 2**31 - 1))
        assert client.answer(1).reset == FLOW_CONTROL_ERROR


def test_a_window_of_nothing(server: GrpcProcess) -> None:
    """Answers that the client does not let go out are given up; the others go on."""
    with server.client(settings={4: 0}) as client:
        for stream_id in range(1, 60, 2):
            client.call(stream_id, "/t/Big", body=b"1000000")
        for stream_id in range(1, 60, 2):
            assert client.answer(stream_id).reset == 8
        client.call(61, body=b"x")
        client.credit(1000, 61)
        assert client.answer(61).body == b"x"


def test_a_client_that_does_not_read(server: GrpcProcess) -> None:
    """Its answers are not piled up for ever, and it is let go."""
    with server.client(settings={4: 2**31 - 1}) as client:
        client.send(WindowUpdateFrame(0, 2**31 - 2**17))
        client.socket.settimeout(0.2)
        try:
            for stream_id in range(1, 4000, 2):
                client.call(stream_id, "/t/Big", body=b"1000000")
                assert server.grown_bytes() < 5 * BOUND_BYTES
        except (TimeoutError, ConnectionError):
            pass
        started_s = time.monotonic()
        client.socket.settimeout(10.0)
        time.sleep(1.0)
        with pytest.raises((Ended, ConnectionError)):  # noqa: PT012  # what was sent can be read
            while True:
                client.read()
        assert time.monotonic() - started_s < 9


def test_bytes_of_incomplete_messages_are_bounded(server: GrpcProcess) -> None:
    """24 messages of 4 MB, whose client heeds no window."""
    with server.client() as client:
        for stream_id in range(1, 49, 2):
            client.send(client.headers(stream_id))
            data = message(bytes(4 * MIB))[: 3 * MIB]
            for start in range(0, len(data), 16_000):
                client.send(DataFrame(stream_id, data[start : start + 16_000]))
        assert client.answer(47).reset == FLOW_CONTROL_ERROR
        assert server.grown_bytes() < BOUND_BYTES


def test_messages_that_nobody_reads_are_bounded(server: GrpcProcess) -> None:
    """256 KiB that unpack to 256 MiB, many times over, to a method that reads one of them."""
    with server.client() as client:
        take_settings(client)
        client.send(client.headers(1, head("/t/First", grpc_encoding="gzip")))
        client.send(DataFrame(1, message(b"first")))
        packed = message(gzip.compress(bytes(256 * MIB), 1), 1)
        for _ in range(20):
            for start in range(0, len(packed), 16_000):
                client.send(DataFrame(1, packed[start : start + 16_000]))
        assert client.answer(1).reset == FLOW_CONTROL_ERROR
        assert server.grown_bytes() < BOUND_BYTES


def test_a_packed_message_holds_up_nobody(server_without_limits: GrpcProcess) -> None:
    """400 KB that unpack to 400 MB."""
    packed = message(gzip.compress(bytes(400 * MIB), 9), 1)
    with server_without_limits.client() as client, Neighbour(server_without_limits.port) as other:
        take_settings(client)
        client.send(client.headers(1, head("/t/Length", grpc_encoding="gzip")))
        for start in range(0, len(packed), 16_000):
            client.send(DataFrame(1, packed[start : start + 16_000]))
        client.send(DataFrame(1, b"", flags=["END_STREAM"]))
        assert client.answer(1).body == b"%d" % (400 * MIB)
    assert other.slowest_s < 0.5


def test_a_message_over_the_limit_is_refused_by_its_length(server: GrpcProcess) -> None:
    with server.client() as client:
        client.send(client.headers(1), DataFrame(1, struct.pack(">BI", 0, 2**32 - 1)))
        answer = client.answer(1)
        assert answer.status == 8
        assert "exceeds the maximum of 4194304 bytes" in answer.fields["grpc-message"]
        while answer.reset is None:
            client.read()
        assert answer.reset == 0


def test_a_drain_waits_for_calls_under_way() -> None:
    with GrpcProcess(limits=LIMITS) as server, server.client() as client, server.client() as idle:
        client.call(1, "/t/Wait")
        eventually(lambda: server.counts()["under_way"] == 1)
        server.process.send_signal(signal.SIGTERM)
        while client.goaway is None:
            client.read()
        client.call(3, "/t/Go")  # on its way before the client knew
        assert client.answer(1).status == 0
        assert client.answer(3).status == 0
        assert client.read_to_end() == 0
        assert idle.read_to_end() == 0
        server.process.wait(SOON_S)


def test_five_thousand_silent_clients() -> None:
    """They cost memory alone, and little of it."""
    with GrpcProcess() as server:
        silent = []
        try:
            for _ in range(2500):
                silent.append(server.client())
                silent.append(server.client(greets=False))
            with Neighbour(server.port) as neighbour:
                time.sleep(1.0)
            assert neighbour.slowest_s < SOON_S
            assert server.grown_bytes() < 5000 * 40_000
        finally:
            for client in silent:
                client.socket.close()
        eventually(lambda: len(server.counts()) > 0)


def test_a_stream_of_messages_that_nobody_waits_for(server: GrpcProcess) -> None:
    with server.client() as client:
        client.send(client.headers(1, head("/t/Each")))
        client.send(*(DataFrame(1, message(b"x")) for _ in range(5)))
        client.send(RstStreamFrame(1, 8))
        client.call(3, body=b"x")
        assert client.answer(3).body == b"x"
