"""A stream that would read what it sends is refused; the same broker may have both."""

from __future__ import annotations

import pytest

from penstock.core.errors import ConfigError
from penstock.jobs.stream.spec import Input, Output, read_stream
from penstock.jobs.stream.spec_brokers import (
    KafkaInput,
    KafkaOutput,
    NatsInput,
    NatsOutput,
    RabbitInput,
    RabbitOutput,
)
from penstock.jobs.stream.spec_loop import check_no_loop
from penstock.jobs.stream.spec_redis import RedisInput, RedisOutput

REDIS = RedisInput(url="redis://h", stream="in", group="g")
KAFKA = KafkaInput(url="kafka://a,b:9092", topics=("one", "^two"), group="g")
NATS = NatsInput(url="nats://h", stream="IN", subject="in", group="g")
WIDE = NatsInput(url="nats://h", stream="IN", subject="in.*.>", group="g")
WHOLE = NatsInput(url="nats://h", stream="IN", group="g")
MADE = NatsInput(url="nats://h", stream="in", group="g", create=True)
RABBIT = RabbitInput(url="amqp://h", queue="in")

LOOPS: list[tuple[Input, Output, str]] = [
    (REDIS, RedisOutput(url="redis://me:word@H:6379/0", stream="in"), "stream"),
    (
        RedisInput(url="redis://localhost", stream="in", group="g"),
        RedisOutput(stream="in"),
        "stream",
    ),
    (
        RedisInput(url="unix:///a", stream="in", group="g"),
        RedisOutput(url="unix:///a", stream="in"),
        "stream",
    ),
    (KAFKA, KafkaOutput(url="kafka://b", topic="one"), "topic"),
    (KAFKA, KafkaOutput(url="kafka://a", topic="two.more"), "topic"),
    (NATS, NatsOutput(url="nats://h:4222", subject="in"), "subject"),
    (NATS, NatsOutput(url="nats://h", subject="in", stream="IN"), "subject"),
    (WIDE, NatsOutput(url="nats://h", subject="in.a.b.c"), "subject"),
    (WHOLE, NatsOutput(url="nats://h", subject="out", stream="IN"), "subject"),
    (MADE, NatsOutput(url="nats://h", subject="in"), "subject"),
    (RABBIT, RabbitOutput(url="amqp://me:word@h/%2F", queue="in"), "queue"),
]
STRAIGHT: list[tuple[Input, Output]] = [
    (REDIS, RedisOutput(url="redis://h", stream="out")),
    (REDIS, RedisOutput(url="redis://other", stream="in")),
    (REDIS, RedisOutput(url="redis://h/1", stream="in")),
    (REDIS, RedisOutput(url="http://h", stream="in")),  # told when it is opened
    (REDIS, KafkaOutput(url="kafka://h:6379", topic="in")),
    (KAFKA, KafkaOutput(url="kafka://a", topic="three")),
    (KAFKA, KafkaOutput(url="kafka://c", topic="one")),
    (
        KafkaInput(url="kafka://a", topics=("^(",), group="g"),
        KafkaOutput(url="kafka://a", topic="("),
    ),
    (NATS, NatsOutput(url="nats://h", subject="out", stream="IN")),
    (NATS, NatsOutput(url="nats://h", subject="in", stream="OTHER")),
    (NATS, NatsOutput(url="nats://account@h", subject="in")),
    (WIDE, NatsOutput(url="nats://h", subject="in.a")),
    (WIDE, NatsOutput(url="nats://h", subject="out.a.b")),
    (WHOLE, NatsOutput(url="nats://h", subject="out", stream="OUT")),
    (WHOLE, NatsOutput(url="nats://h", subject="out")),
    (MADE, NatsOutput(url="nats://h", subject="out")),
    (RABBIT, RabbitOutput(url="amqp://h", queue="out")),
    (RABBIT, RabbitOutput(url="amqp://h/guests", queue="in")),
    (RABBIT, RabbitOutput(url="amqp://h", queue="in", exchange="e")),
]


@pytest.mark.parametrize(("source", "sink", "name"), LOOPS)
def test_a_sink_that_leads_back_is_refused(source: Input, sink: Output, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_no_loop(source, sink, "$.sink")
    text = caught.value.message
    assert text.startswith(f"$.sink: its url and {name} lead back to $.source ({source}): ")
    assert "word" not in text


@pytest.mark.parametrize(("source", "sink"), STRAIGHT)
def test_other_places_of_one_broker_are_taken(source: Input, sink: Output) -> None:
    check_no_loop(source, sink, "$.sink")


STREAM = """
name: tweets
source: {broker: nats, url: "nats://h", stream: IN, subject: in, group: g}
model: {path: models}
sink: {broker: nats, url: "nats://h", stream: OUT, subject: out}
dead_letters: {broker: nats, url: "nats://h", stream: OUT, subject: dead}
"""


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("stream: OUT, subject: out", "subject: in", "$.sink"),
        ("stream: OUT, subject: dead", "subject: in", "$.dead_letters"),
    ],
)
def test_answers_and_dead_letters_are_looked_at(old: str, new: str, field: str) -> None:
    read_stream(STREAM.encode(), "stream.yaml")
    with pytest.raises(ConfigError) as caught:
        read_stream(STREAM.replace(old, new).encode(), "stream.yaml")
    assert caught.value.message.startswith(f"stream.yaml: {field}: its url and subject lead back")
