"""A raw HTTP/2 client that may send anything, and the server of its tests."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hpack
import psutil
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PATIENCE_S = 15.0
_HEAD_BYTES = 9


class Ended(Exception):
    """The server has closed the connection."""


def message(body: bytes, flag: int = 0) -> bytes:
    """A gRPC message."""
    return struct.pack(">BI", flag, len(body)) + body


def head(path: str = "/t/Echo", **more: str) -> list[tuple[str, str]]:
    """The header fields of a call."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "localhost",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    for name, value in more.items():
        fields[(":" if name == "method" else "") + name.replace("_", "-")] = value
    return list(fields.items())


class Answer:
    """What came of a call so far."""

    def __init__(self) -> None:
        self.fields: dict[str, str] = {}
        self.data = b""
        self.has_ended = False
        self.reset: int | None = None

    @property
    def status(self) -> int | None:
        """The gRPC status."""
        text = self.fields.get("grpc-status")
        return None if text is None else int(text)

    @property
    def body(self) -> bytes:
        """The one message."""
        assert self.data[:5] == struct.pack(">BI", 0, len(self.data) - 5)
        return self.data[5:]


class Client:
    """One connection. It answers nothing by itself."""

    def __init__(self, port: int, *, greets: bool = True, settings: Any = None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.answers: dict[int, Answer] = {}
        self.goaway: int | None = None
        self.seen: list[Frame] = []
        self._rest = b""
        if greets:
            self.write(PREFACE)
            self.send(SettingsFrame(0, settings=settings or {}))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self.socket.sendall(data)

    def send(self, *frames: Frame) -> None:
        """Send frames."""
        self.write(b"".join(frame.serialize() for frame in frames))

    def headers(self, stream_id: int, fields: Any = None, *flags: str) -> HeadersFrame:
        """A header block in one frame."""
        block = self.encoder.encode(fields or head())
        return HeadersFrame(stream_id, block, flags=["END_HEADERS", *flags])

    def call(self, stream_id: int, path: str = "/t/Echo", body: bytes = b"", **more: str) -> None:
        """Make a whole call."""
        data = DataFrame(stream_id, message(body), flags=["END_STREAM"])
        self.send(self.headers(stream_id, head(path, **more)), data)

    def reset(self, stream_id: int) -> RstStreamFrame:
        """A call's end."""
        return RstStreamFrame(stream_id, 8)

    def read(self) -> Frame:
        """The next frame.

        Raises:
            Ended: there is none.
        """
        while True:
            if len(self._rest) >= _HEAD_BYTES:
                frame, size = Frame.parse_frame_header(memoryview(self._rest)[:_HEAD_BYTES])
                if len(self._rest) >= _HEAD_BYTES + size:
                    frame.parse_body(memoryview(self._rest[_HEAD_BYTES : _HEAD_BYTES + size]))
                    self._rest = self._rest[_HEAD_BYTES + size :]
                    self._note(frame)
                    return frame
            try:
                data = self.socket.recv(1 << 20)
            except (ConnectionError, OSError) as err:
                if isinstance(err, TimeoutError):
                    raise
                raise Ended from err
            if not data:
                raise Ended
            self._rest += data

    def answer(self, stream_id: int) -> Answer:
        """Read until a call is over."""
        answer = self.answers.setdefault(stream_id, Answer())
        while not answer.has_ended and answer.reset is None:
            self.read()
        return answer

    def read_to_end(self) -> int | None:
        """Read until the server closes; the error of its GOAWAY, None without one."""
        try:
            while True:
                self.read()
        except Ended:
            return self.goaway

    def credit(self, size: int, *stream_ids: int) -> None:
        """Let the server send more."""
        self.send(*(WindowUpdateFrame(i, size) for i in (0, *stream_ids)))

    def _note(self, frame: Frame) -> None:
        self.seen.append(frame)
        answer = self.answers.setdefault(frame.stream_id, Answer())
        if isinstance(frame, HeadersFrame):
            answer.fields |= dict(self.decoder.decode(frame.data))
        elif isinstance(frame, DataFrame):
            answer.data += frame.data
        elif isinstance(frame, RstStreamFrame):
            answer.reset = frame.error_code
        elif isinstance(frame, GoAwayFrame):
            self.goaway = frame.error_code
        answer.has_ended = answer.has_ended or "END_STREAM" in frame.flags


class GrpcProcess:
    """The server in a process of its own."""

    def __init__(self, **given: Any) -> None:
        script = Path(__file__).with_name("grpc_server.py")
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed with the server
        self.process = subprocess.Popen(
            [sys.executable, str(script), json.dumps(given)],
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.start_bytes = self.rss_bytes()

    def __enter__(self) -> GrpcProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            code = self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()
            assert self.process.stdout is not None
            self.process.stdout.close()
            self._log.seek(0)
            log = self._log.read()
            self._log.close()
        assert log == ""
        assert code == 0

    def client(self, **options: Any) -> Client:
        return Client(self.port, **options)

    def counts(self) -> dict[str, int]:
        """What is under way."""
        with self.client() as client:
            client.call(1, "/t/Counts")
            found: dict[str, int] = json.loads(client.answer(1).body)
            return found

    def rss_bytes(self) -> int:
        """Resident memory."""
        rss: int = psutil.Process(self.process.pid).memory_info().rss
        return rss

    def grown_bytes(self) -> int:
        """How much more memory it has than at its start."""
        return self.rss_bytes() - self.start_bytes


class Neighbour:
    """Another client, who is answered all the while."""

    def __init__(self, port: int) -> None:
        self.num_answers = 0
        self.slowest_s = 0.0
        self.error: BaseException | None = None
        self._port = port
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Neighbour:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(PATIENCE_S)
        assert self.error is None
        assert self.num_answers

    def _run(self) -> None:
        try:
            with Client(self._port) as client:
                for stream_id in self._ids():
                    began_s = time.monotonic()
                    client.call(stream_id, body=b"hello")
                    assert client.answer(stream_id).body == b"hello"
                    self.slowest_s = max(self.slowest_s, time.monotonic() - began_s)
                    self.num_answers += 1
                    client.credit(1000)
        except (Ended, OSError, AssertionError) as err:
            self.error = err

    def _ids(self) -> Iterator[int]:
        yield 1
        stream_id = 3
        while not self._is_over.wait(0.002):
            yield stream_id
            stream_id += 2
