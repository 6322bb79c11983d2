"""Sources and sinks of what STREAM.yaml names; a broker's library is imported by who uses it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from penstock.core.errors import ConfigError
from penstock.jobs.stream.broker_fault import is_missing
from penstock.jobs.stream.delivery import Doors
from penstock.jobs.stream.source import StreamSink, StreamSource
from penstock.jobs.stream.spec import Input, Output, StreamSpec
from penstock.jobs.stream.spec_brokers import (
    KafkaInput,
    KafkaOutput,
    NatsInput,
    NatsOutput,
)
from penstock.jobs.stream.spec_redis import RedisInput, RedisOutput


class _Library(NamedTuple):
    broker: str
    package: str
    extra: str


_KAFKA = _Library("kafka", "confluent-kafka", "kafka")
_NATS = _Library("nats", "nats-py", "nats")
_RABBIT = _Library("rabbitmq", "aio-pika", "rabbitmq")


def open_doors(spec: StreamSpec) -> Doors:
    """Where a stream's records come from and go to. Connects to nothing.

    Raises:
        ConfigError: a URL or an option is wrong, a client library is not installed, or source and
            sink cannot do exactly once together.

    Concurrency: on the event loop that will use it.
    """
    letters = None
    if spec.dead_letters is not None:
        with _told("dead_letters", spec.dead_letters):
            letters = open_sink(spec.dead_letters)
    if spec.delivery == "exactly_once":
        return _exactly_once(spec, letters)
    with _told("source", spec.source):
        source = open_source(spec.source)
    with _told("sink", spec.sink):
        return Doors(source, open_sink(spec.sink), letters)


def open_source(spec: Input) -> StreamSource:
    """One broker's source; see ``open_doors``."""
    if isinstance(spec, RedisInput):
        from penstock.jobs.stream.redis_source import RedisSource

        return RedisSource(spec)
    if isinstance(spec, KafkaInput):
        with _library(_KAFKA):
            from penstock.jobs.stream.kafka_source import KafkaSource

            return KafkaSource(spec)
    if isinstance(spec, NatsInput):
        with _library(_NATS):
            from penstock.jobs.stream.nats_source import NatsSource

            return NatsSource(spec)
    with _library(_RABBIT):
        from penstock.jobs.stream.rabbitmq_source import RabbitSource

        return RabbitSource(spec)


def open_sink(spec: Output) -> StreamSink:
    """One broker's sink; see ``open_doors``."""
    if isinstance(spec, RedisOutput):
        from penstock.jobs.stream.redis_sink import RedisSink

        return RedisSink(spec)
    if isinstance(spec, KafkaOutput):
        with _library(_KAFKA):
            from penstock.jobs.stream.kafka_sink import KafkaSink

            return KafkaSink(spec)
    if isinstance(spec, NatsOutput):
        with _library(_NATS):
            from penstock.jobs.stream.nats_sink import NatsSink

            return NatsSink(spec)
    with _library(_RABBIT):
        from penstock.jobs.stream.rabbitmq_sink import RabbitSink

        return RabbitSink(spec)


def _exactly_once(spec: StreamSpec, letters: StreamSink | None) -> Doors:
    if isinstance(spec.source, RedisInput) and isinstance(spec.sink, RedisOutput):
        from penstock.jobs.stream.redis_sink import RedisExactlyOnce
        from penstock.jobs.stream.redis_source import RedisSource

        with _told("source", spec.source):
            redis = RedisSource(spec.source)
        with _told("sink", spec.sink):
            return Doors(redis, RedisExactlyOnce(redis, spec.source, spec.sink), letters)
    if isinstance(spec.source, KafkaInput) and isinstance(spec.sink, KafkaOutput):
        with _library(_KAFKA):
            from penstock.jobs.stream.kafka_source import KafkaSource
            from penstock.jobs.stream.kafka_transaction import KafkaTransaction

            with _told("source", spec.source):
                kafka = KafkaSource(spec.source, commits=False)
            with _told("sink", spec.sink):
                return Doors(kafka, KafkaTransaction(spec.sink, kafka), letters)
    raise ConfigError(
        "delivery: exactly_once is there from Kafka to Kafka and from Redis to Redis only; with "
        "at_least_once a result may be sent again, under the same id"
    )


@contextmanager
def _told(place: str, spec: Input | Output) -> Iterator[None]:
    """Name the place, too, in an error that names one of its fields."""
    try:
        yield
    except ConfigError as err:
        if err.message.partition(":")[0] not in type(spec).__struct_fields__:
            raise
        raise ConfigError(f"{place}.{err.message}") from err


@contextmanager
def _library(library: _Library) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as err:
        raise is_missing(*library) from err
