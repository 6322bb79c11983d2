"""KafkaSink: a topic of Kafka, written by an idempotent producer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from penstock.core.errors import StreamError
from penstock.jobs.stream.kafka_client import address_of, kafka_fault, made, producer_settings
from penstock.jobs.stream.kafka_thread import KafkaThread
from penstock.jobs.stream.record import Produced
from penstock.jobs.stream.spec_brokers import KafkaOutput

ANSWER_S: Final = 10.0
"""How long the brokers may take to answer where no other time is set."""

_LOOK_S = 0.25


class KafkaSink:
    """Sends micro-batches, and waits until the brokers have them.

    The library's own attempts store each message once and in order. What is written again by the
    runner is there twice, with the same id in its headers: see ``KafkaTransaction``.

    Args:
        spec: where to.

    Raises:
        ConfigError: the URL or an option is wrong.

    Concurrency: on one event loop; the producer lives on a thread of its own.
    """

    def __init__(self, spec: KafkaOutput) -> None:
        self._spec = spec
        self._settings = producer_settings(spec)
        self._address = address_of(spec)
        self._thread = KafkaThread("kafka-sink")
        self._producer: Any = None
        self._undelivered: list[KafkaError] = []
        self._heard: list[KafkaError] = []

    async def open(self) -> None:
        """Connect.

        Raises:
            StreamError: the brokers cannot be reached or refuse, or the topic is not there.
        """
        await self._thread.call(self._connect)

    def _connect(self) -> None:
        self._heard.clear()
        settings = {**self._settings, "error_cb": self._heard.append}
        producer = made(Producer, settings)
        try:
            found = producer.list_topics(self._spec.topic, timeout=ANSWER_S)
        except KafkaException as err:
            producer.poll(0)  # the cause is told there
            raise self._worst([*self._heard, err.args[0]]) from err
        error = found.topics[self._spec.topic].error
        if error is not None:
            raise self._worst([error])
        self._producer = producer

    async def write(self, results: Sequence[Produced]) -> None:
        """Send; all of them are stored when this returns.

        Raises:
            StreamError: not all are.
        """
        await self._thread.call(self._send, results)

    def _send(self, results: Sequence[Produced]) -> None:
        if self._producer is None:
            self._connect()
        self._heard.clear()
        self._undelivered.clear()
        try:
            hand_over(self._producer, self._spec.topic, results, self._on_delivery)
        except KafkaException as err:
            self._undelivered.append(err.args[0])
        self._flush()
        if any(error.fatal() for error in (*self._heard, *self._undelivered)):
            self._producer = None  # that ends a producer; the next call makes another
        if self._undelivered:
            raise self._worst([*self._undelivered, *self._heard])

    def _flush(self) -> None:
        """Until each is stored or given up, which takes ``send_timeout_s`` at most; at once where
        the brokers refuse us.
        """
        give_up = time.monotonic() + self._spec.send_timeout_s + ANSWER_S
        while self._producer.flush(_LOOK_S):
            is_late = time.monotonic() > give_up
            if is_late or not self._worst([*self._heard, _LATE]).retryable:
                self._producer.purge()
                self._producer.flush(ANSWER_S)
                self._undelivered.append(_LATE)
                return

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._undelivered.append(error)

    async def close(self) -> None:
        """Leave."""
        await self._thread.end(self._leave)

    def _leave(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.flush(ANSWER_S)

    def _worst(self, errors: Sequence[KafkaError]) -> StreamError:
        """The first that will not pass; else the first."""
        faults = [kafka_fault(error, self._address, self._spec.topic) for error in errors]
        return next((fault for fault in faults if not fault.retryable), faults[0])


_LATE: Final = KafkaError(KafkaError._TIMED_OUT, "the brokers did not store all in time")


def hand_over(
    producer: Any,
    topic: str,
    results: Sequence[Produced],
    on_delivery: Callable[[KafkaError | None, Message], None],
) -> None:
    """Give results to the library, waiting for room in its queue.

    Raises:
        KafkaException: one can never be sent, such as one too large.
    """
    for result in results:
        headers = list(result.headers.items())
        while True:
            try:
                producer.produce(
                    topic, result.value, result.key, headers=headers, on_delivery=on_delivery
                )
                break
            except BufferError:
                producer.poll(0.1)
