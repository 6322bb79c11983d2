"""KafkaStanding: where a consumer group stands, asked by a client of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from confluent_kafka import Consumer, KafkaException, TopicPartition

from penstock.jobs.stream.kafka_client import made
from penstock.jobs.stream.kafka_progress import Place

T = TypeVar("T")

_ANSWER_S: Final = 10.0


class Reached(NamedTuple):
    """How far a member got in a partition.

    Attributes:
        begun: where somebody else would begin, and whether all that was taken is settled; None:
            nothing was taken.
        end: where the partition ended when all of it had been fetched; None: not yet.
    """

    begun: tuple[int, bool] | None
    end: int | None


class KafkaStanding:
    """Asks brokers about a group, and never joins it.

    The library lets one thread at a time use a consumer, and the member's waits for records, or
    for what is under way when partitions go: who asks it from another thread waits as long.

    Args:
        settings: of the member.

    Concurrency: any thread, one after the other.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = dict(settings)
        self._lock = threading.Lock()
        self._client: Any = None

    def cluster_id(self, timeout_s: float) -> str:
        """Which cluster it is. May block so long.

        Raises:
            KafkaException: it does not answer.
        """
        return self._ask(lambda client: str(client.cluster_id(timeout_s)))

    def committed(self, places: Iterable[Place]) -> dict[Place, int]:
        """The group's offsets; below 0: it has none. Blocks until the brokers answer.

        Raises:
            KafkaException: they do not, or not for all of them.
        """
        return self._ask(lambda client: _committed(client, places))

    def waiting(self, reached: Mapping[Place, Reached]) -> int:
        """How many records wait in these partitions. Blocks until the brokers answer.

        Raises:
            KafkaException: they do not.
        """

        def ask(client: Any) -> int:
            new = _committed(client, [place for place, one in reached.items() if one.begun is None])
            return sum(_waiting(client, place, one, new) for place, one in reached.items())

        return self._ask(ask)

    def _ask(self, question: Callable[[Any], T]) -> T:
        try:
            with self._lock:
                if self._client is None:
                    self._client = made(Consumer, self._settings)
                self._client.poll(0)  # what the library has to say is kept until then
                return question(self._client)
        except KafkaException as err:
            said = err.args[0]
        raise KafkaException(said)  # not in whose frames the client is: see KafkaThread

    def close(self) -> None:
        """Leave; whoever still asks has their answer first."""
        self._client = None


def _committed(client: Any, places: Iterable[Place]) -> dict[Place, int]:
    asked = [TopicPartition(topic, int(part)) for topic, part in places]
    if not asked:
        return {}
    stands: dict[Place, int] = {}
    for one in client.committed(asked, timeout=_ANSWER_S):
        if one.error is not None:
            raise KafkaException(one.error)
        stands[one.topic, str(one.partition)] = one.offset
    return stands


def _waiting(client: Any, place: Place, reached: Reached, new: Mapping[Place, int]) -> int:
    topic, part = place
    low, high = client.get_watermark_offsets(TopicPartition(topic, int(part)), timeout=_ANSWER_S)
    end = low if reached.end is None else reached.end
    if reached.begun is not None:
        offset, is_idle = reached.begun
    else:
        offset, is_idle = new[place] if new[place] >= 0 else end, True
    if is_idle:  # what ends a transaction takes an offset, too
        offset = max(offset, end)
    return max(0, int(high) - max(int(low), offset))
