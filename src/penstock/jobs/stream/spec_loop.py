"""check_no_loop: what a stream sends away must not come to it again. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from penstock.core.errors import ConfigError
from penstock.jobs.stream.broker_url import parse_broker_url
from penstock.jobs.stream.spec_brokers import (
    KafkaInput,
    KafkaOutput,
    NatsInput,
    NatsOutput,
    RabbitInput,
    RabbitOutput,
)
from penstock.jobs.stream.spec_redis import RedisInput, RedisOutput
from penstock.stores.store_url import parse_store_url

if TYPE_CHECKING:
    from penstock.jobs.stream.spec import Input, Output

_SCHEMES = ("kafka", "kafka+tls", "nats", "nats+tls", "amqp", "amqps")
_ANY, _REST = "*", ">"


class _Server(NamedTuple):
    """Where a broker is.

    Attributes:
        hosts: ``host:port`` of each of its servers, or the path of a socket.
        part: of it: a database, a virtual host, a user of NATS, who may have an account alone.
    """

    hosts: frozenset[str]
    part: str


def check_no_loop(source: Input, sink: Output, field: str) -> None:
    """Refuse a sink whose records the source of the same stream reads.

    One server under two names is not noticed.

    Args:
        source: where the stream's records come from.
        sink: where its answers or its dead letters go.
        field: the sink's path, such as ``$.sink``; an error begins with it.

    Raises:
        ConfigError: it is so.
    """
    name = _leads_back(sink, source)
    if not name or not _is_one_server(sink, source):
        return
    raise ConfigError(
        f"{field}: its url and {name} lead back to $.source ({source}): what is sent there would "
        f"come in again as a new record, without end; send it to another {name}"
    )


def _leads_back(sink: Output, source: Input) -> str:
    """The field that says where to, if the source reads there, were it one server; "": it does
    not.
    """
    if isinstance(source, RedisInput) and isinstance(sink, RedisOutput):
        return "stream" if sink.stream == source.stream else ""
    if isinstance(source, KafkaInput) and isinstance(sink, KafkaOutput):
        return "topic" if any(_is_topic(sink.topic, told) for told in source.topics) else ""
    if isinstance(source, NatsInput) and isinstance(sink, NatsOutput):
        return "subject" if _is_consumed(sink, source) else ""
    if isinstance(source, RabbitInput) and isinstance(sink, RabbitOutput):
        return "queue" if sink.queue == source.queue and not sink.exchange else ""
    return ""


def _is_topic(topic: str, told: str) -> bool:
    """Whether a topic is the one that is told, or fits it: what begins with ``^`` is a pattern."""
    if not told.startswith("^"):
        return topic == told
    try:
        return re.match(told, topic) is not None
    except re.error:  # the broker's library has its say
        return False


def _is_consumed(sink: NatsOutput, source: NatsInput) -> bool:
    """Whether the source's consumer is given what is sent to the sink's subject."""
    if source.subject:
        is_there = sink.stream in ("", source.stream)
        return is_there and _covers(source.subject.split("."), sink.subject.split("."))
    if not sink.stream:  # a stream that is made without a subject has that of its name
        return source.create and sink.subject == source.stream
    return sink.stream == source.stream


def _covers(pattern: Sequence[str], subject: Sequence[str]) -> bool:
    """Whether a subject fits a pattern with ``*`` for one word and ``>`` for the rest."""
    if _REST in pattern:
        pattern = pattern[: pattern.index(_REST)]
        if len(subject) <= len(pattern):
            return False
        subject = subject[: len(pattern)]
    return len(pattern) == len(subject) and all(
        told in (_ANY, word) for told, word in zip(pattern, subject, strict=True)
    )


def _is_one_server(one: Input | Output, other: Input | Output) -> bool:
    try:
        left, right = _server(one), _server(other)
    except ConfigError:  # a url that is wrong is told when it is opened
        return False
    return left.part == right.part and not left.hosts.isdisjoint(right.hosts)


def _server(spec: Input | Output) -> _Server:
    if isinstance(spec, RedisInput | RedisOutput):
        store = parse_store_url(spec.url)
        place = store.path or _host(f"{store.host}:{store.port}")
        return _Server(frozenset([place]), str(store.db))
    url = parse_broker_url(spec.url, _SCHEMES, {})
    part = ""
    if isinstance(spec, NatsInput | NatsOutput):
        part = url.username
    elif isinstance(spec, RabbitInput | RabbitOutput):
        part = url.path or "/"
    return _Server(frozenset(map(_host, url.hosts)), part)


def _host(place: str) -> str:
    """``host:port``, with one name for this machine."""
    host, _, port = place.lower().rpartition(":")
    return f"{'127.0.0.1' if host == 'localhost' else host}:{port}"
