"""Messages and partitions as Kafka's library has them, and as ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from penstock.jobs.stream.kafka_progress import Place
from penstock.jobs.stream.record import Record


def place_of(one: Message | TopicPartition) -> Place:
    """Which partition it is, or is of."""
    if isinstance(one, TopicPartition):
        return one.topic, str(one.partition)
    return one.topic() or "", str(one.partition())


def record_of(message: Message, turn: int) -> Record:
    """A message as a record.

    Args:
        message: one without an error.
        turn: which of the times that its partition was given to us.
    """
    headers = message.headers()
    return Record(
        stream=message.topic() or "",
        partition=str(message.partition()),
        position=str(message.offset()),
        value=message.value() or b"",
        key=message.key(),
        headers=[(name, value or b"") for name, value in headers] if headers else (),
        time_ms=max(0, message.timestamp()[1]),
        handle=turn,
    )


def partitions_of(offsets: Mapping[Place, int]) -> list[TopicPartition]:
    """Offsets as the library takes them."""
    return [TopicPartition(topic, int(part), offset) for (topic, part), offset in offsets.items()]


def commit_now(
    consumer: Any, offsets: Mapping[Place, int]
) -> tuple[dict[Place, int], list[KafkaError]]:
    """Commit, and wait for the answer: what is stored, and why the rest is not."""
    try:
        done = consumer.commit(offsets=partitions_of(offsets), asynchronous=False)
    except KafkaException as err:
        return {}, [err.args[0]]
    stored = {place_of(one): one.offset for one in done if one.error is None}
    return stored, [one.error for one in done if one.error is not None]
