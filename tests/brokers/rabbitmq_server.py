"""A RabbitMQ server of the tests' own, on free ports, with its own epmd."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from tests.brokers.child_process import ChildProcess, require_binary
from tests.stores.redis_server import free_port

_FOLDER = "/usr/lib/rabbitmq/bin"


class RabbitServer:
    """One node.

    Attributes:
        url: its address, with user and password.
    """

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = self.url_of("guest", "guest")
        self._epmd_port = str(free_port())
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.default = 127.0.0.1:{self.port}\ndisk_free_limit.absolute = 1MB\n"
        )
        (folder / "enabled_plugins").write_text("[].\n")
        (folder / "env.conf").write_text("")
        self._environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": self._epmd_port,
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"penstock{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none",
        }
        self._control = require_binary("rabbitmqctl", "rabbitmq-server", _FOLDER)
        if Path(_FOLDER, "rabbitmqctl").exists():  # the one in /usr/sbin is root's only
            self._control = f"{_FOLDER}/rabbitmqctl"
        server = self._control.replace("rabbitmqctl", "rabbitmq-server")
        self._child = ChildProcess([server], self.port, folder / "server.log", self._environ)

    def url_of(self, user: str, password: str) -> str:
        """The address as somebody else knows it."""
        return f"amqp://{user}:{password}@127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, with what it had stored."""
        self._child.start()

    def kill(self) -> None:
        """End it at once, and its epmd where it is the last one there."""
        self._child.kill()
        time.sleep(0.1)
        epmd = require_binary("epmd", "erlang-base")
        subprocess.run(
            [epmd, "-port", self._epmd_port, "-kill"], capture_output=True, timeout=20, check=False
        )

    def control(self, *arguments: str) -> str:
        """``rabbitmqctl``."""
        command = [self._control, "-q", *arguments]
        done = subprocess.run(
            command, env=self._environ, capture_output=True, text=True, timeout=50, check=True
        )
        return done.stdout
