"""The service in a process of its own, for the demo and the benchmarks."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
_START_S = 120.0
_STOP_S = 20.0


class Running:
    """A service that runs.

    Attributes:
        url: where it is.
        process: it.
        log: what it wrote.
    """

    def __init__(self, url: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.url = url
        self.process = process
        self.log = log

    def stop(self) -> int:
        """End it by SIGTERM; blocks; its exit status."""
        self.process.terminate()
        return self.process.wait(_STOP_S)


@contextlib.contextmanager
def running(folder: Path, **settings: object) -> Iterator[Running]:
    """Start the service and wait until it is ready; what still runs at the end is killed.

    Args:
        folder: for its log; it is also where it looks for ``.env``.
        settings: as in ``settings.py``; of the environment's others, only those not named here.

    Raises:
        RuntimeError: it did not get ready; the message has its last words.
    """
    port = free_port()
    values = {"port": port, "models": ROOT / "models", **settings}
    environ = os.environ | {name.upper(): str(value) for name, value in values.items()}
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), environ.get("PYTHONPATH"))))
    log = folder / "service.log"
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "apps.tweet_sentiment"],
            env=environ,
            cwd=folder,
            stdout=file,
            stderr=file,
        )
        try:
            service = Running(f"http://127.0.0.1:{port}", process, log)
            _wait_ready(service)
            yield service
        finally:
            process.kill()
            process.wait()


def free_port() -> int:
    """A port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _wait_ready(service: Running) -> None:
    give_up = time.monotonic() + _START_S
    while time.monotonic() < give_up and service.process.poll() is None:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(service.url + "/readyz", timeout=5),  # noqa: S310 - our own URL
        ):
            return
        time.sleep(0.05)  # nothing tells when a process listens
    raise RuntimeError(f"the service did not get ready: {service.log.read_text()[-2000:]}")
