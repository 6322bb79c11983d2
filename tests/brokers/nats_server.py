"""A NATS server with JetStream of the tests' own, on a free port."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.brokers.child_process import ChildProcess, require_binary
from tests.stores.redis_server import free_port

_CONFIG = """
listen: "127.0.0.1:{port}"
jetstream {{ store_dir: "{folder}/store", max_mem: 256MB, max_file: 1GB }}
authorization {{
  users = [
    {{ user: "penstock", password: "{password}" }}
    {{ user: "reader", password: "narrow",
       permissions: {{ publish: ["$JS.>", "_INBOX.>"], subscribe: [">"] }} }}
  ]
}}
"""


class NatsServer:
    """One server that asks for a password.

    Attributes:
        url: its address, with user and password.
    """

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = self.url_of("penstock", "s3cret")
        self._config = folder / "nats.conf"
        self._folder = folder
        self._write("s3cret")
        binary = require_binary("nats-server", "nats-server")
        self._child = ChildProcess(
            [binary, "-c", str(self._config)], self.port, folder / "nats.log"
        )

    def url_of(self, user: str, password: str) -> str:
        """The address as somebody else knows it."""
        return f"nats://{user}:{password}@127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, with what it had stored."""
        self._child.start()

    def kill(self) -> None:
        """End it at once."""
        self._child.kill()

    def change_password(self, password: str) -> None:
        """Whoever is connected with another one is thrown out."""
        self._write(password)
        self._child.signal(signal.SIGHUP)

    def _write(self, password: str) -> None:
        text = _CONFIG.format(port=self.port, folder=self._folder, password=password)
        self._config.write_text(text)
