"""A broker and its guests: serving processes that share workers, here or in processes."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import psutil

from penstock.app import embedded
from penstock.app.build import Assembly, build
from penstock.app.embedded import Models
from penstock.app.shared_workers import WORKERS
from penstock.runtime.broker.broker import Broker
from tests.fault.actor import serving, until

_BROKER: ContextVar[str] = ContextVar("broker", default="")


@contextmanager
def socket_path() -> Iterator[str]:
    """Where a broker may listen: short, for a Unix socket."""
    folder = Path(tempfile.mkdtemp(prefix="penstock-test-"))
    try:
        yield str(folder / "workers.sock")
    finally:
        shutil.rmtree(folder)


def listening(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path)
    sock.listen()
    return sock


@asynccontextmanager
async def brokered(start_timeout_s: float = 60.0) -> AsyncIterator[str]:
    """A broker on this loop; yields where it listens."""
    with socket_path() as path:
        broker = Broker(start_timeout_s)
        broker.listen(listening(path))
        try:
            yield path
        finally:
            await broker.close()


@asynccontextmanager
async def guest(root: Path, broker: str, **settings: Any) -> AsyncIterator[Models]:
    """A server on this loop whose workers come from a broker."""
    token = _BROKER.set(broker)
    with mock.patch.object(embedded, "build", _build):
        async with serving(root, **settings) as models:
            _BROKER.reset(token)
            yield models


def _build(*arguments: Any) -> Assembly:
    """As ever, unless this task's workers come from a broker."""
    broker = _BROKER.get()
    return build(*arguments, companions={WORKERS: broker} if broker else None)


@contextmanager
def started(role: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """This module as a process that has said that it is ready; killed at the end."""
    line = [sys.executable, "-m", "tests.fault.guests", role, *arguments]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


async def ready(process: Any) -> Any:
    """Enter ``started`` without keeping this loop from serving it."""
    return await asyncio.to_thread(process.__enter__)


def segments(process: psutil.Process) -> int:
    """How many shared segments a process has mapped."""
    lines = Path(f"/proc/{process.pid}/maps").read_text().splitlines()
    return sum("memfd:penstock" in line for line in lines)


def _say_ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


async def _be_broker(path: str) -> None:
    broker = Broker()
    broker.listen(listening(path))
    _say_ready()
    await asyncio.Event().wait()


async def _be_guest(broker: str, root: str, do: str, columns: str) -> None:
    """Ask once, say so, and ask again and again."""
    x = np.ones((1, int(columns)), np.float32)
    async with guest(Path(root), broker) as models:
        await models.infer("actor", x=x, do=[""])
        await models.infer("actor", x=x, do=[""])
        _say_ready()
        await until(lambda: Path(root, "go").exists())
        while True:
            await models.infer("actor", x=x, do=[do])


if __name__ == "__main__":
    _, role, *arguments = sys.argv
    asyncio.run({"broker": _be_broker, "guest": _be_guest}[role](*arguments))
