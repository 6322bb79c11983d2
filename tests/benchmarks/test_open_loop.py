"""The open-loop generator against a server of one's own."""

import asyncio
import contextlib
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from benchmarks.load import open_loop
from benchmarks.load.request_folder import write_requests
from benchmarks.messages import HttpRequest

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")

Answer = Callable[[bytes], bytes | None]


def plain(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def chunked(body: bytes) -> bytes:
    parts = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + parts


def refusal(body: bytes) -> bytes:
    return b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"


def hang_up(body: bytes) -> None:
    return None


async def handle(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer, seen: list[bytes]
) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            seen.append(body)
            said = answer(body)
            if said is None:
                return
            writer.write(said)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        return
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Awaitable[tuple[dict[str, float], list[bytes]]]]:
    monkeypatch.setattr(open_loop, "PROGRAM", tmp_path / "open_loop")

    async def load(
        answer: Answer, bodies: list[bytes], rate: float = 400.0
    ) -> tuple[dict[str, float], list[bytes]]:
        seen: list[bytes] = []
        handlers: list[asyncio.Task[None]] = []

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            handlers.append(asyncio.create_task(handle(reader, writer, answer, seen)))

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        folder = write_requests(tmp_path / "requests", [HttpRequest("/", body) for body in bodies])
        async with server:
            port = server.sockets[0].getsockname()[1]
            found = await asyncio.to_thread(
                open_loop.run_open_loop, port, folder, rate, 0.25, connections=4, timeout_s=2.0
            )
            await asyncio.gather(*handlers)
        return found, seen

    return load


@pytest.mark.parametrize("answer", [plain, chunked])
async def test_every_request_is_sent_in_turn_and_its_answer_timed(run, answer: Answer) -> None:
    found, seen = await run(answer, [b"one", b"two"])
    assert (found["requests"], found["failed"]) == (100, 0)
    assert (seen.count(b"one"), seen.count(b"two")) == (50, 50)
    assert 0 < found["p50_ms"] <= found["p99_ms"] < 2000


async def test_a_body_that_the_kernel_does_not_take_at_once_arrives_whole(run) -> None:
    large = bytes(range(256)) * (1 << 14)  # 4 MiB
    found, seen = await run(plain, [large], rate=40.0)
    assert found["failed"] == 0
    assert all(body == large for body in seen)


@pytest.mark.parametrize("answer", [refusal, hang_up])
async def test_a_failed_request_counts_at_the_timeout(run, answer: Answer) -> None:
    found, _ = await run(answer, [b"one"])
    assert (found["requests"], found["failed"]) == (100, 100)
    assert found["p50_ms"] == 2000


async def test_the_wait_for_a_free_connection_counts(run) -> None:
    def work(body: bytes) -> bytes:
        time.sleep(0.005)
        return plain(body)

    found, _ = await run(work, [b"one"])  # 0.5 s of work comes within 0.25 s
    assert found["failed"] == 0
    assert found["max_ms"] > 150
