"""Record: one message of a stream, and what became of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec


class Record(msgspec.Struct, frozen=True):
    """One message, as it came.

    Attributes:
        stream: topic, stream, subject or queue.
        partition: within it; "" where there are none.
        position: where it stands in its partition, unlike any other: an offset, a stream entry's
            id, a sequence number, a message id.
        value: its body.
        key: its key; None: it has none.
        headers: in order; names may repeat.
        time_ms: when it was produced, since 1970; 0: it is not known.
        deliveries: how often it was delivered before; 0: it is the first time, or not counted.
        handle: what the source needs to acknowledge it; not part of the message.
        no_value: why it has no value, where it has none; "": it has one.
    """

    stream: str
    partition: str
    position: str
    value: bytes
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()
    time_ms: int = 0
    deliveries: int = 0
    handle: Any = None
    no_value: str = ""

    @property
    def place(self) -> tuple[str, str]:
        """Its stream and its partition."""
        return self.stream, self.partition

    @property
    def num_bytes(self) -> int:
        """About what it holds in memory."""
        return 200 + len(self.value) + len(self.key or b"")


class Produced(msgspec.Struct, frozen=True):
    """What is sent for one record.

    Attributes:
        id: the prediction's id: the same for the same record, model and version, each time.
        value: the body.
        key: the record's key.
        headers: what goes with it, the id among them.
        source: the record it answers.
    """

    id: str
    value: bytes
    key: bytes | None
    headers: Mapping[str, bytes]
    source: Record
