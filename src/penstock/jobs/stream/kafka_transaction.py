"""KafkaTransaction: from Kafka to Kafka exactly once, one transaction for each micro-batch."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from penstock.core.errors import StreamError
from penstock.jobs.stream.broker_fault import broker_fault
from penstock.jobs.stream.kafka_client import address_of, kafka_fault, log, made, producer_settings
from penstock.jobs.stream.kafka_sink import ANSWER_S, hand_over
from penstock.jobs.stream.kafka_source import KafkaSource
from penstock.jobs.stream.kafka_thread import KafkaThread
from penstock.jobs.stream.record import Produced, Record
from penstock.jobs.stream.spec_brokers import KafkaOutput

Offsets = dict[tuple[str, str], int]

_AGAIN_S: Final = 0.2


class KafkaTransaction:
    """Sends results and the offsets of their records in one transaction.

    A consumer that reads ``read_committed`` sees both or neither. A runner that was taken for
    dead can commit nothing any more: the group's generation goes with the offsets, and the
    transactional id has one owner.

    Args:
        spec: where to.
        source: where from; made with ``commits=False``, on the same cluster.
        new_producer: makes the library's producer from its settings.

    Raises:
        ConfigError: the URL or an option is wrong.

    Concurrency: on one event loop, one call at a time; the producer lives on a thread of its own.
    """

    def __init__(
        self, spec: KafkaOutput, source: KafkaSource, new_producer: Callable[..., Any] = Producer
    ) -> None:
        self._spec = spec
        self._source = source
        self._new_producer = new_producer
        milliseconds = int(spec.send_timeout_s * 1000)
        self._settings = {
            **producer_settings(spec),
            "transactional.id": spec.transactional_id or f"penstock-{uuid.uuid4()}",
            "transaction.timeout.ms": milliseconds,
        }
        self._address = address_of(spec)
        self._thread = KafkaThread("kafka-transaction")
        self._producer: Any = None
        self._undelivered: list[KafkaError] = []
        self._heard: list[KafkaError] = []
        self._in_doubt: Offsets | None = None

    async def open(self) -> None:
        """Connect; what an earlier owner of the transactional id left open is called off.

        Raises:
            StreamError: the brokers cannot be reached or refuse, or are not the source's.
        """
        await self._thread.call(self._begin_anew)

    def _begin_anew(self) -> None:
        self._heard.clear()
        settings = {**self._settings, "error_cb": self._heard.append}
        producer = made(self._new_producer, settings)
        try:
            ours, theirs = producer.cluster_id(ANSWER_S), self._source.cluster_id(ANSWER_S)
            if ours != theirs:
                happened = f"this is cluster {ours}, and the records come from {theirs}"
                raise self._fault(happened, "exactly once needs one cluster; else at_least_once")
            producer.init_transactions(self._spec.send_timeout_s)
        except KafkaException as err:
            producer.poll(0)  # the cause is told there
            raise self._worst(err.args[0]) from err
        self._producer = producer

    async def write_and_settle(
        self, results: Sequence[Produced], records: Sequence[Record]
    ) -> bool:
        """Send the results and settle the records, in one; see ``ExactlyOnce``.

        Returns:
            whether it took place; False: the records belong to somebody else by now.

        Raises:
            StreamError: none of it took place, or nobody knows yet: the same call finds out.
        """
        offsets = _offsets(records)
        if self._in_doubt is not None and self._in_doubt != offsets:
            raise self._fault("the last transaction is in doubt", "make the same call again")
        if not await self._thread.call(self._take_place, results, records, offsets):
            return False
        self._source.settle_without_commit(records)
        return True

    def _take_place(
        self, results: Sequence[Produced], records: Sequence[Record], offsets: Offsets
    ) -> bool:
        if self._producer is None:
            self._begin_anew()
            if self._in_doubt is not None and self._has_taken_place(self._in_doubt):
                return True
        self._heard.clear()
        try:
            if self._in_doubt is None:
                metadata = self._source.group_metadata()
                if not self._source.are_ours(records):  # asked after: see group_metadata
                    return False
                self._fill(results, offsets, metadata)
                self._in_doubt = offsets
            self._insist(self._producer.commit_transaction)
        except KafkaException as err:
            raise self._called_off(err.args[0]) from err
        self._in_doubt = None
        return True

    def _has_taken_place(self, doubt: Offsets) -> bool:
        """Whether an earlier producer's last transaction did; this one's beginning ended it."""
        try:
            has = self._source.has_committed(doubt)
        except KafkaException as err:
            self._producer = None  # the next call asks once more
            raise self._worst(err.args[0]) from err
        self._in_doubt = None
        return has

    def _fill(self, results: Sequence[Produced], offsets: Offsets, metadata: Any) -> None:
        self._undelivered.clear()
        producer = self._producer
        producer.begin_transaction()
        hand_over(producer, self._spec.topic, results, self._on_delivery)
        positions = [TopicPartition(topic, int(p), n) for (topic, p), n in offsets.items()]
        self._insist(
            lambda left_s: producer.send_offsets_to_transaction(positions, metadata, left_s)
        )

    def _insist(self, call: Callable[[float], object]) -> None:
        """Make a call until it is done; again where the library says that one may.

        Raises:
            KafkaException: it cannot be done, or not in ``send_timeout_s``.
        """
        give_up = time.monotonic() + self._spec.send_timeout_s
        while True:
            try:
                call(max(0.1, give_up - time.monotonic()))
            except KafkaException as err:
                if not err.args[0].retriable() or time.monotonic() >= give_up:
                    raise
                time.sleep(_AGAIN_S)
            else:
                return

    def _called_off(self, error: KafkaError) -> StreamError:
        """Undo what can be undone; nothing where the commit may still have taken place."""
        fault = self._worst(error)
        if error.fatal():
            self._producer = None  # the next one ends what this one left, this way or that
            return fault
        if self._in_doubt is not None and error.retriable():
            return fault
        self._in_doubt = None
        try:
            self._insist(self._producer.abort_transaction)
        except KafkaException as err:
            log.warning("%s: not called off, begins anew: %s", self._spec.topic, err.args[0])
            self._producer = None
        return fault

    async def close(self) -> None:
        """Leave; what is open is called off by the brokers."""
        await self._thread.end(self._leave)

    def _leave(self) -> None:
        self._producer = None

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._undelivered.append(error)

    def _worst(self, error: KafkaError) -> StreamError:
        errors = [error, *self._undelivered, *self._heard]
        faults = [kafka_fault(one, self._address, self._spec.topic) for one in errors]
        return next((fault for fault in faults if not fault.retryable), faults[0])

    def _fault(self, happened: str, remedy: str) -> StreamError:
        return broker_fault(str(self._address), self._spec.topic, happened, remedy, retryable=False)


def _offsets(records: Sequence[Record]) -> Offsets:
    """Where each partition goes on behind these."""
    offsets: Offsets = {}
    for record in records:
        offsets[record.place] = max(offsets.get(record.place, 0), int(record.position) + 1)
    return offsets
