"""``penstock serve`` in a process of its own."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0


@contextlib.contextmanager
def serving(
    paths: Sequence[Path], models: Sequence[str], options: Sequence[str] = ()
) -> Iterator[tuple[str, str]]:
    """Serve models on free ports; end it by SIGTERM. Its log is shown if anything fails.

    Args:
        paths: the folders to serve.
        models: wait until these are ready; ``name`` or ``name/versions/label``.
        options: further options of ``penstock serve``.

    Yields:
        the URL of REST and the address of gRPC.

    Raises:
        RuntimeError: the server did not get ready, or did not end with status 0.
    """
    http_port, grpc_port = _free_ports()
    command = [str(Path(sys.executable).with_name("penstock")), "serve", *map(str, paths)]
    command += ["--http-port", str(http_port), "--grpc-port", str(grpc_port), *options]
    url = f"http://127.0.0.1:{http_port}"
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            for path in ("readyz", *(f"v2/models/{model}/ready" for model in models)):
                _wait_ok(process, f"{url}/{path}")
            yield url, f"127.0.0.1:{grpc_port}"
            process.terminate()
            if (status := process.wait(STOP_TIMEOUT_S)) != 0:
                raise RuntimeError(f"the server ended with status {status}")
        except BaseException:
            log.seek(0)
            sys.stderr.write(log.read())
            raise
        finally:
            process.kill()
            process.wait()


def _wait_ok(process: subprocess.Popen[bytes], url: str) -> None:
    give_up = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < give_up and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.05)
    raise RuntimeError(f"the server did not get ready: {url}")


def _free_ports() -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in ("http", "grpc")
        ]
        return [one.getsockname()[1] for one in sockets]
