"""KafkaMember: who a consumer is in its group, for the transactions that bear its name."""

from __future__ import annotations

from typing import Any

from penstock.jobs.stream.broker_fault import broker_fault


class KafkaMember:
    """Keeps what the library says of a member, so that nobody has to ask its consumer.

    What it keeps may be older than what the group knows, never newer: brokers refuse the offsets
    of a generation that is over.

    Args:
        broker: where.
        stream: what it reads.

    Concurrency: looked up and forgotten on the consumer's thread; read on any.
    """

    def __init__(self, broker: str, stream: str) -> None:
        self._broker = broker
        self._stream = stream
        self._metadata: Any = None

    def look_up(self, consumer: Any) -> None:
        """Ask the library. While it has no name in the group it is nobody: brokers check no
        generation of somebody without a name.
        """
        name, metadata = consumer.memberid(), consumer.consumer_group_metadata()
        self._metadata = metadata if name and name == consumer.memberid() else None

    def forget(self) -> None:
        """It fell out of the group."""
        self._metadata = None

    @property
    def metadata(self) -> Any:
        """Its name and generation, as a transaction takes them.

        Raises:
            StreamError: at present it is nobody; retryable.
        """
        metadata = self._metadata
        if metadata is None:
            happened = "this runner is no member of its group at present"
            remedy = "it joins again by itself; the log says why it fell out"
            raise broker_fault(self._broker, self._stream, happened, remedy)
        return metadata
