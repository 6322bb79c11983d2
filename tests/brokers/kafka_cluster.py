"""Brokers of Kafka in a process of their own: librdkafka's mock cluster, over real sockets.

It keeps groups, offsets and transactions of producers; it does not keep the offsets that are
sent in a transaction, knows no passwords, and forgets all when it ends.
"""

from __future__ import annotations

import signal
import subprocess
import sys

import psutil

from tests.interop.live import eventually

_SERVE = """
import sys
from confluent_kafka.admin import AdminClient
admin = AdminClient({"test.mock.num.brokers": int(sys.argv[1])})
found = admin.list_topics(timeout=10)
print(",".join(f"{b.host}:{b.port}" for b in found.brokers.values()), flush=True)
sys.stdin.read()
"""


class KafkaCluster:
    """Mock brokers.

    Attributes:
        url: where they are.
    """

    def __init__(self, num_brokers: int = 1) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, str(num_brokers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.servers = self._process.stdout.readline().strip()
        self.url = f"kafka://{self.servers}"

    def pause(self) -> None:
        """Connections stay open, nothing answers."""
        self._process.send_signal(signal.SIGSTOP)
        eventually(lambda: psutil.Process(self._process.pid).status() == psutil.STATUS_STOPPED)

    def resume(self) -> None:
        """Go on."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait(10)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
