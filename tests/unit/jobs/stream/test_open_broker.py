"""What is wrong with a broker's fields is told with the place they stand at."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.core.errors import ConfigError
from penstock.jobs.model_ref import ModelRef
from penstock.jobs.stream.open_broker import open_doors
from penstock.jobs.stream.spec import Input, Output, StreamSpec
from penstock.jobs.stream.spec_brokers import KafkaInput, KafkaOutput, NatsOutput, RabbitInput
from penstock.jobs.stream.spec_redis import RedisInput, RedisOutput

IN = RedisInput(stream="s", group="g")
OUT = RedisOutput(stream="t")
KAFKA_IN = KafkaInput(url="kafka://h", topics=("t", "u"), group="g")


def spec(source: Input = IN, sink: Output = OUT, **more: Any) -> StreamSpec:
    return StreamSpec(name="s", source=source, sink=sink, model=ModelRef(path="m"), **more)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (spec(RedisInput(url="reds://h", stream="s", group="g")), "source.url: the scheme must"),
        (spec(sink=RedisOutput(url="redis://", stream="t")), "sink.url: redis:// needs a host"),
        (spec(dead_letters=RedisOutput(url="/a", stream="t")), "dead_letters.url: the scheme"),
        (spec(RabbitInput(url="http://h", queue="q")), "source.url: the scheme must"),
        (spec(sink=NatsOutput(url="nats://h", subject="t", create=True)), "sink.create: needs"),
        (
            spec(KAFKA_IN, KafkaOutput(url="h", topic="t"), delivery="exactly_once"),
            "sink.url: the scheme must",
        ),
        (
            spec(IN, RedisOutput(url="h", stream="t"), delivery="exactly_once"),
            "sink.url: the scheme must",
        ),
        (spec(KAFKA_IN, OUT, delivery="exactly_once"), "delivery: exactly_once is there from"),
    ],
)
def test_an_error_names_the_place(wrong: StreamSpec, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_doors(wrong)
    assert caught.value.message.startswith(says)


def test_a_place_is_shown_in_words_and_without_its_password() -> None:
    assert str(IN) == "'s' at redis://127.0.0.1:6379/0"
    assert str(KAFKA_IN) == "'t, u' at kafka://h"
    assert str(RabbitInput(url="amqp://a:b@h", queue="q")) == "'q' at amqp://***@h"
