"""How Kafka's clients are set up, and the library's errors as ours."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException

from penstock.core.errors import ConfigError, StreamError
from penstock.jobs.stream.broker_fault import broker_fault
from penstock.jobs.stream.broker_url import BrokerUrl, parse_broker_url
from penstock.jobs.stream.spec_brokers import KafkaInput, KafkaOutput, OptionValue

log: Final = logging.getLogger("penstock.kafka")

_SCHEMES = ("kafka", "kafka+tls")
_OURS: Final = frozenset(
    {
        "logger",
        "bootstrap.servers",
        "group.id",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.partition.eof",
        "auto.offset.reset",
        "enable.idempotence",
        "transactional.id",
        "sasl.username",
        "sasl.password",
        "message.timeout.ms",
    }
)
_MAX_POLL: Final = "max.poll.interval.ms"
_MAX_POLL_MS: Final = 300_000  # librdkafka's default
_AUTHENTICATION: Final = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.ILLEGAL_SASL_STATE,
    }
)
_AUTHORIZATION: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
)
_FENCED: Final = frozenset(
    {KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH}
)


class LibraryLog:
    """Where librdkafka writes what it does: several lines for each attempt to connect, so at
    debug. What matters comes as an error, too, once for each attempt of ours.
    """

    def log(self, level: int, text: str, *args: object) -> None:
        """Take a line; called as ``logging.Logger.log`` is."""
        log.debug(text, *args)


def address_of(spec: KafkaInput | KafkaOutput) -> BrokerUrl:
    """Where the brokers are.

    Raises:
        ConfigError: the URL is wrong.
    """
    return parse_broker_url(spec.url, _SCHEMES, os.environ)


def consumer_settings(spec: KafkaInput) -> dict[str, Any]:
    """What a consumer is made with.

    Raises:
        ConfigError: the URL is wrong, an option is one that we set, or ``drain_s`` is too long.
    """
    _check_drain(spec)
    return {
        "partition.assignment.strategy": "cooperative-sticky",
        "isolation.level": "read_committed",
        "fetch.queue.backoff.ms": 50,
        **_checked(spec.options),
        **_connection(address_of(spec), spec.options.get("sasl.mechanism", "PLAIN")),
        "logger": LibraryLog(),
        "group.id": spec.group,
        "auto.offset.reset": spec.start,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
    }


def producer_settings(spec: KafkaOutput) -> dict[str, Any]:
    """What an idempotent producer is made with; a key goes to the partition that Java gives it.

    Raises:
        ConfigError: as ``consumer_settings``.
    """
    return {
        "partitioner": "murmur2_random",
        "linger.ms": 5,
        "queue.buffering.max.messages": 1_000_000,
        **_checked(spec.options),
        **_connection(address_of(spec), spec.options.get("sasl.mechanism", "PLAIN")),
        "logger": LibraryLog(),
        "enable.idempotence": True,
        "message.timeout.ms": int(spec.send_timeout_s * 1000),
    }


def made(new: Callable[..., Any], settings: Mapping[str, Any]) -> Any:
    """The library's consumer or producer.

    Args:
        new: which of them.
        settings: of it.

    Raises:
        ConfigError: an option is none of the library's, or its value does not fit.
    """
    try:
        return new(dict(settings))
    except KafkaException as err:
        raise ConfigError(
            f"options: librdkafka refuses them: {err.args[0].str()}; its CONFIGURATION.md tells "
            "names and values"
        ) from err


def look_for(client: Any, topic: str, timeout_s: float) -> None:
    """See whether brokers answer and have a topic; one that begins with ``^`` is a pattern.

    Raises:
        KafkaException: they do not.
    """
    if topic.startswith("^"):
        client.list_topics(timeout=timeout_s)
        return
    found = client.list_topics(topic, timeout=timeout_s).topics[topic]
    if found.error is not None:
        raise KafkaException(found.error)


def kafka_fault(error: KafkaError, broker: object, stream: str) -> StreamError:
    """The library's error as ours.

    Args:
        error: what it says.
        broker: where.
        stream: the topic, or the group.
    """
    where, code = str(broker), error.code()
    said = f"{error.name()}: {error.str()}"
    if code in _AUTHENTICATION:
        remedy = (
            "look at user and password of the URL (or PENSTOCK_KAFKA_USERNAME and "
            "PENSTOCK_KAFKA_PASSWORD), and at options.sasl.mechanism"
        )
        return broker_fault(where, stream, f"refused who we are: {said}", remedy, retryable=False)
    if code in _AUTHORIZATION:
        remedy = "have the user allowed to (an ACL of Kafka's)"
        return broker_fault(where, stream, f"refused: {said}", remedy, retryable=False)
    if code in _FENCED:
        remedy = "end the other one, or give each runner a transactional_id of its own"
        happened = f"another runner took the transactional id over: {said}"
        return broker_fault(where, stream, happened, remedy, retryable=False)
    if code == KafkaError.MSG_SIZE_TOO_LARGE:
        remedy = "raise message.max.bytes of the topic and options.message.max.bytes"
        return broker_fault(where, stream, said, remedy, retryable=False)
    if code in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
        return broker_fault(where, stream, said, "create the topic, or correct its name")
    if code == KafkaError.FENCED_INSTANCE_ID:
        remedy = "end the other one, or give each its own options.group.instance.id"
        happened = f"another member took this one's place: {said}"
        return broker_fault(where, stream, happened, remedy, retryable=False)
    return broker_fault(where, stream, said, "see whether the brokers are up, and can be reached")


def _connection(address: BrokerUrl, mechanism: OptionValue) -> dict[str, Any]:
    settings: dict[str, Any] = {"bootstrap.servers": ",".join(address.hosts)}
    secure = "ssl" if address.has_tls else "plaintext"
    if not address.username:
        return settings | {"security.protocol": secure}
    return settings | {
        "security.protocol": f"sasl_{secure}",
        "sasl.mechanism": mechanism,
        "sasl.username": address.username,
        "sasl.password": address.password,
    }


def _check_drain(spec: KafkaInput) -> None:
    """Who does not ask for so long is put out of the group, its drain unfinished.

    Raises:
        ConfigError: the drain may take longer than that.
    """
    most_ms = spec.options.get(_MAX_POLL, _MAX_POLL_MS)
    if str(most_ms).isdecimal() and spec.drain_s * 1000 >= int(most_ms):
        raise ConfigError(
            f"drain_s: expected less than options.{_MAX_POLL}, {most_ms} ms, got {spec.drain_s:g} s"
        )


def _checked(options: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
    for name in sorted(options):
        if name in _OURS:
            raise ConfigError(f"options: {name} cannot be set: it follows from the other fields")
    return dict(options)
