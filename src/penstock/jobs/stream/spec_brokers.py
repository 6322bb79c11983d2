"""Where a stream comes from and goes to, for each broker: what STREAM.yaml says of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from penstock.stores.store_url import without_password

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
OptionValue = str | int | float | bool


class _Broker(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all have: an address that may hold a password, so it is shown without.

    Attributes:
        url: as ``parse_broker_url`` reads it.
    """

    url: str

    def __repr__(self) -> str:
        return f"{type(self).__name__}(url={without_password(self.url)!r}, ...)"

    def __str__(self) -> str:
        """Which topic, stream or queue, for people."""
        return f"'{self._place()}' at {without_password(self.url)}"

    def _place(self) -> str:
        raise NotImplementedError


class KafkaInput(_Broker, frozen=True, kw_only=True, tag_field="broker", tag="kafka"):
    """Topics of Kafka, read as a member of a consumer group.

    Attributes:
        url: ``kafka://`` or ``kafka+tls://[user:password@]host:port[,host:port]``.
        topics: which.
        group: the consumer group.
        start: where a group begins that has no place yet.
        drain_s: how long records under way may take when partitions go to somebody else; less than
            the option ``max.poll.interval.ms``, after which the group puts a silent member out.
        options: of librdkafka, as its CONFIGURATION.md has them; what we set ourselves is
            refused.
    """

    topics: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1)]
    group: Name
    start: Literal["earliest", "latest"] = "earliest"
    drain_s: Seconds = 20.0
    options: Mapping[str, OptionValue] = {}

    def _place(self) -> str:
        return ", ".join(self.topics)


class KafkaOutput(_Broker, frozen=True, kw_only=True, tag_field="broker", tag="kafka"):
    """A topic of Kafka.

    Attributes:
        url: as for ``KafkaInput``.
        topic: which.
        send_timeout_s: how long one micro-batch may take to be stored by the brokers.
        transactional_id: who this runner is, where delivery is exactly once: another one that
            says the same ends it; "": one of its own for each start, which nobody else has.
        options: of librdkafka.
    """

    topic: Name
    send_timeout_s: Seconds = 30.0
    transactional_id: str = ""
    options: Mapping[str, OptionValue] = {}

    def _place(self) -> str:
        return self.topic


class NatsInput(_Broker, frozen=True, kw_only=True, tag_field="broker", tag="nats"):
    """A stream of NATS JetStream, read by a durable pull consumer.

    Attributes:
        url: ``nats://`` or ``nats+tls://[user:password@]host:port[,host:port]``.
        stream: its name.
        subject: only what was sent there; "": all.
        group: the durable consumer's name; all that give the same share the stream.
        start: where a consumer begins that is not there yet.
        ack_wait_s: after so long without a sign of life records go to another runner.
        prefetch: the most records this runner asks for ahead.
        max_under_way: the most records of the group that are taken and not settled.
        create: make the stream if it is not there, on ``subject`` (or its own name).
    """

    stream: Name
    group: Name
    subject: str = ""
    start: Literal["earliest", "latest"] = "earliest"
    ack_wait_s: Seconds = 30.0
    prefetch: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 2048
    max_under_way: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 65_536
    create: bool = False

    def _place(self) -> str:
        return self.stream


class NatsOutput(_Broker, frozen=True, kw_only=True, tag_field="broker", tag="nats"):
    """A subject that a stream of NATS JetStream keeps.

    What is sent twice within the stream's duplicate window (two minutes, unless the stream says
    otherwise) has one effect.

    Attributes:
        url: as for ``NatsInput``.
        subject: where to.
        stream: the stream that has to keep it; "": any.
        send_timeout_s: how long one micro-batch may take to be stored.
        create: make the stream if it is not there; needs ``stream``.
    """

    subject: Name
    stream: str = ""
    send_timeout_s: Seconds = 10.0
    create: bool = False

    def _place(self) -> str:
        return self.subject


class RabbitInput(_Broker, frozen=True, kw_only=True, tag_field="broker", tag="rabbitmq"):
    """A queue of RabbitMQ.

    Attributes:
        url: ``amqp://`` or ``amqps://[user:password@]host:port/virtual-host``.
        queue: which.
        prefetch: the most records this runner holds unsettled; back-pressure beyond it.
        create: declare the queue, durable, if it is not there.
        kind: of the queue, where it is declared.
        dead_letter_exchange: where the broker puts what it gives up on, where it is declared.
        delivery_limit: after how many deliveries a quorum queue gives up, where it is declared;
            0: never.
    """

    queue: Name
    prefetch: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 2000
    create: bool = False
    kind: Literal["quorum", "classic"] = "quorum"
    dead_letter_exchange: str = ""
    delivery_limit: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0

    def _place(self) -> str:
        return self.queue


class RabbitOutput(_Broker, frozen=True, kw_only=True, tag_field="broker", tag="rabbitmq"):
    """A queue of RabbitMQ, or an exchange.

    Attributes:
        url: as for ``RabbitInput``.
        queue: which; with an exchange, the routing key.
        exchange: "": the default one, which leads to the queue of that name.
        send_timeout_s: how long one micro-batch may take to be confirmed.
        create: declare the queue, durable, if it is not there; only without an exchange.
        kind: of the queue, where it is declared.
    """

    queue: Name
    exchange: str = ""
    send_timeout_s: Seconds = 30.0
    create: bool = False
    kind: Literal["quorum", "classic"] = "quorum"

    def _place(self) -> str:
        return self.exchange or self.queue
