"""A small HTTP client for benchmarks: one keep-alive connection, nothing parsed but the length."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np


class Latency(NamedTuple):
    """Of the answers of one arm, in milliseconds."""

    p50_ms: float
    p99_ms: float
    max_ms: float


class Connection:
    """One connection; requests one after the other."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80

    async def __aenter__(self) -> Connection:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, err: BaseException | None, at: TracebackType | None
    ) -> None:
        """Disconnect."""
        self._writer.close()

    async def get(self, path: str) -> bytes:
        """The body of a 200.

        Raises:
            RuntimeError: another status.
        """
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())
        head = await self._reader.readuntil(b"\r\n\r\n")
        fields = head.lower().split(b"content-length: ", 1)
        body = await self._reader.readexactly(int(fields[1].split(b"\r\n", 1)[0]))
        if b" 200 " not in head[:16]:
            raise RuntimeError(f"{path}: {head[:32]!r} {body[:200]!r}")
        return body


async def latencies_ms(url: str, paths: Sequence[str]) -> list[float]:
    """How long each request took, one after the other."""
    took = []
    async with Connection(url) as connection:
        for path in paths:
            started = time.perf_counter()
            await connection.get(path)
            took.append((time.perf_counter() - started) * 1e3)
    return took


async def per_second(url: str, paths: Sequence[str], connections: int) -> float:
    """Answers per second with so many connections, each asking when it was answered."""
    left = iter(paths)

    async def ask() -> None:
        async with Connection(url) as connection:
            for path in left:
                await connection.get(path)

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(ask())
    return len(paths) / (time.perf_counter() - started)


def summary(took_ms: Sequence[float]) -> Latency:
    """Median, 99th percentile, worst."""
    p50, p99 = np.percentile(np.array(took_ms), [50, 99])
    return Latency(round(float(p50), 3), round(float(p99), 3), round(max(took_ms), 3))
