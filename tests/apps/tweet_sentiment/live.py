"""The service with a tiny model, and Redis, in processes of their own."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from apps.tweet_sentiment.process import ROOT, Running, free_port, running

__all__ = ["ROOT", "Live", "live", "redis_server"]

MODELS = Path(__file__).parent / "models"
Live = Running
_START_S = 30.0


@contextlib.contextmanager
def live(folder: Path, **settings: object) -> Iterator[Running]:
    """Start the service with these settings; its store is a file in the folder."""
    values = {"models": MODELS, "store_url": f"sqlite:///{folder / 'store.db'}"}
    with running(folder, **{**values, **settings}) as service:
        yield service


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A Redis of our own; its URL and process."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    process = subprocess.Popen([*command, "--dir", str(folder)], stdout=subprocess.DEVNULL)
    try:
        give_up = time.monotonic() + _START_S
        while time.monotonic() < give_up:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
        yield f"redis://127.0.0.1:{port}/0", process
    finally:
        process.kill()
        process.wait()
