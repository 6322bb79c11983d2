"""What Kafka's library refuses, and what it says of a part only; no brokers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from penstock.core.errors import ConfigError
from penstock.jobs.stream.kafka_sink import KafkaSink
from penstock.jobs.stream.kafka_source import KafkaSource
from penstock.jobs.stream.kafka_transaction import KafkaTransaction
from penstock.jobs.stream.spec_brokers import KafkaInput, KafkaOutput
from tests.brokers.bench import nobody


@pytest.mark.parametrize("name", ["group.id", "enable.auto.commit", "sasl.password"])
def test_options_that_are_ours_are_refused(name: str) -> None:
    spec = KafkaInput(url="kafka://h", topics=("t",), group="g", options={name: "x"})
    with pytest.raises(ConfigError, match=name):
        KafkaSource(spec)
    with pytest.raises(ConfigError, match=name):
        KafkaSink(KafkaOutput(url="kafka://h", topic="t", options={name: "x"}))


@pytest.mark.parametrize(
    ("drain_s", "option", "refused"),
    [
        (300, {}, "300000 ms, got 300 s"),
        (299, {}, ""),
        (30, {"max.poll.interval.ms": 20000}, "20000 ms, got 30 s"),
        (400, {"max.poll.interval.ms": "900000"}, ""),
    ],
)
def test_a_drain_ends_before_the_group_puts_the_member_out(
    drain_s: float, option: dict[str, str | int], refused: str
) -> None:
    spec = KafkaInput(url="kafka://h", topics=("t",), group="g", drain_s=drain_s, options=option)
    if not refused:
        KafkaSource(spec)
        return
    with pytest.raises(ConfigError) as told:
        KafkaSource(spec)
    expected = "drain_s: expected less than options.max.poll.interval.ms, "
    assert told.value.message == expected + refused


@pytest.mark.parametrize("option", [{"no.such.option": 1}, {"socket.timeout.ms": "soon"}])
async def test_options_that_the_library_refuses_are_told(option: dict[str, str | int]) -> None:
    spec = KafkaOutput(url="kafka://h", topic="t", options=option)
    source = KafkaSource(KafkaInput(url="kafka://h", topics=("t",), group="g", options=option))
    sinks: list[Any] = [KafkaSink(spec), KafkaTransaction(spec, source)]
    for one in [lambda: source.open(nobody), *(sink.open for sink in sinks)]:
        with pytest.raises(ConfigError, match=next(iter(option))):
            await one()
    for sink in sinks:
        await sink.close()
    await source.close()


async def test_what_is_told_of_one_partition_only_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An offset that could not be looked up is not one that is not there."""

    class Client:
        def __init__(self, settings: Any) -> None: ...

        def poll(self, timeout: float) -> None: ...

        def committed(self, asked: list[TopicPartition], timeout: float) -> list[Any]:
            error = KafkaError(KafkaError.UNSTABLE_OFFSET_COMMIT)
            return [SimpleNamespace(topic="t", partition=0, offset=-1001, error=error)]

    monkeypatch.setattr("penstock.jobs.stream.kafka_standing.Consumer", Client)
    source = KafkaSource(KafkaInput(url="kafka://h", topics=("t",), group="g"))
    with pytest.raises(KafkaException, match="UNSTABLE_OFFSET_COMMIT"):
        source.has_committed({("t", "0"): 1})
