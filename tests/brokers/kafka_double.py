"""A double of Kafka's transactions: what brokers keep, and producers that break on a script.

librdkafka's mock cluster does not store the offsets of a transaction, so what is proved of them is
proved here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from penstock.jobs.stream.record import Produced, Record


class Crash(BaseException):
    """The process is gone at this step."""


class Brokers:
    """What is kept.

    Attributes:
        log: the values that were committed, in order, as ``read_committed`` sees them.
        offsets: the group's.
        generation: of the group; offsets of an older one are refused.
        epoch: of the transactional id; an older producer is fenced.
    """

    def __init__(self) -> None:
        self.log: list[bytes] = []
        self.offsets: dict[int, int] = {}
        self.generation = 1
        self.epoch = 0


class Producer:
    """As far as ``KafkaTransaction`` calls it; ``script`` is asked before and after each step."""

    def __init__(self, brokers: Brokers, script: Callable[[str], None]) -> None:
        self._brokers = brokers
        self._script = script
        self._epoch = 0
        self._values: list[bytes] | None = None
        self._offsets: dict[int, int] = {}
        self._must_abort = False
        self._done = False

    def __call__(self, settings: dict[str, Any]) -> Producer:
        return Producer(self._brokers, self._script)

    def cluster_id(self, timeout: float) -> str:
        return "double"

    def poll(self, timeout: float) -> int:
        return 0

    def init_transactions(self, timeout: float) -> None:
        self._script("init")
        self._brokers.epoch += 1
        self._epoch = self._brokers.epoch

    def begin_transaction(self) -> None:
        self._script("begin")
        assert self._values is None, "the last one is still open"
        self._values, self._offsets, self._done = [], {}, False

    def produce(self, topic: str, value: bytes, key: bytes | None, **more: Any) -> None:
        self._script("produce")
        assert self._values is not None
        self._values.append(value)

    def send_offsets_to_transaction(
        self, positions: Sequence[TopicPartition], metadata: int, timeout: float
    ) -> None:
        self._script("offsets")
        if metadata != self._brokers.generation:
            self._must_abort = True
            raise error(KafkaError.ILLEGAL_GENERATION, txn_requires_abort=True)
        self._offsets = {one.partition: one.offset for one in positions}

    def commit_transaction(self, timeout: float) -> None:
        self._script("commit")
        self._check()
        assert not self._must_abort
        assert self._values is not None
        if not self._done:
            self._brokers.log += self._values
            self._brokers.offsets.update(self._offsets)
            self._done = True
        self._script("committed")
        self._values = None

    def abort_transaction(self, timeout: float) -> None:
        self._script("abort")
        self._check()
        if self._values is None:
            raise error(KafkaError._STATE)
        assert not self._done
        self._values, self._must_abort = None, False

    def _check(self) -> None:
        if self._epoch != self._brokers.epoch:
            raise error(KafkaError._FENCED, fatal=True)


def error(
    code: int, *, fatal: bool = False, retriable: bool = False, txn_requires_abort: bool = False
) -> KafkaException:
    """As the library raises it."""
    return KafkaException(
        KafkaError(
            code,
            "as the script says",
            fatal=fatal,
            retriable=retriable,
            txn_requires_abort=txn_requires_abort,
        )
    )


class Source:
    """As far as ``KafkaTransaction`` calls a ``KafkaSource``: one partition of numbers."""

    def __init__(self, brokers: Brokers, count: int) -> None:
        self._brokers = brokers
        self._count = count
        self._generation = brokers.generation
        self.settled: list[Record] = []

    def batches(self, size: int) -> Iterator[list[Record]]:
        """What is left from the committed offset on."""
        first = self._brokers.offsets.get(0, 0)
        for start in range(first, self._count, size):
            numbers = range(start, min(start + size, self._count))
            yield [Record("in", "0", str(n), str(n).encode(), handle=1) for n in numbers]

    def are_ours(self, records: Sequence[Record]) -> bool:
        return self._generation == self._brokers.generation

    def group_metadata(self) -> int:
        return self._generation

    def cluster_id(self, timeout_s: float) -> str:
        return "double"

    def has_committed(self, offsets: dict[tuple[str, str], int]) -> bool:
        return all(self._brokers.offsets.get(int(p), 0) >= n for (_, p), n in offsets.items())

    def settle_without_commit(self, records: Sequence[Record]) -> None:
        self.settled += records


def results(records: Sequence[Record]) -> list[Produced]:
    """An answer for each but those that are divisible by 5: they were dropped."""
    kept = [one for one in records if int(one.value) % 5]
    return [Produced(one.position, one.value, None, {}, one) for one in kept]
