"""Brokers that restart or stop answering, consumers that are killed: nothing is lost."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from penstock.core.errors import StreamError
from penstock.jobs.stream.record import Produced, Record
from penstock.jobs.stream.source import StreamSink, StreamSource
from tests.brokers.bench import PATIENCE_S, numbers, opened, poll_on, result, send, take
from tests.brokers.conftest import SpecBench, kafka_bench, nats_bench, rabbit_bench, redis_bench
from tests.brokers.kafka_cluster import KafkaCluster

pytestmark = [pytest.mark.fault, pytest.mark.timeout(120)]

SERVERS = ("nats_server", "rabbit_server", "redis_server")


def bench_on(server_name: str, request: pytest.FixtureRequest) -> SpecBench:
    server = request.getfixturevalue(server_name)
    make = {
        "nats_server": nats_bench,
        # RabbitMQ 3.10 that is killed forgets a quorum queue younger than its last save (3 min)
        "rabbit_server": lambda one: rabbit_bench(one, "classic"),
        "redis_server": redis_bench,
        "kafka_cluster": kafka_bench,
    }
    return make[server_name](server)


async def patiently_poll(source: StreamSource, give_up: float) -> Sequence[Record]:
    """As the runner does: again after an error that may pass."""
    while time.monotonic() < give_up:
        try:
            return await source.poll(20, 0.2)
        except StreamError as err:
            if not err.retryable:
                raise
            await asyncio.sleep(0.1)
    raise AssertionError("the broker does not come back")


async def patiently_write(sink: StreamSink, results: Sequence[Produced]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        try:
            return await sink.write(results)
        except StreamError as err:
            if not err.retryable:
                raise
            await asyncio.sleep(0.1)
    raise AssertionError("the broker does not come back")


async def patiently_settle(source: StreamSource, records: Sequence[Record]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        try:
            return await source.settle(records)
        except StreamError as err:
            if not err.retryable:
                raise
            await asyncio.sleep(0.1)
    raise AssertionError("the broker does not come back")


@pytest.mark.parametrize("server_name", SERVERS)
async def test_a_restart_in_mid_stream_loses_nothing(
    server_name: str, request: pytest.FixtureRequest
) -> None:
    bench, server = bench_on(server_name, request), request.getfixturevalue(server_name)
    await send(bench, range(100))
    seen: set[int] = set()
    async with opened(bench.source()) as source:
        records = await take(source, 30)
        await source.settle(records)
        seen.update(numbers(records))
        held = await take(source, 10)
        await asyncio.to_thread(server.kill)
        with pytest.raises(StreamError) as caught:
            await poll_on(source, 5, held)
        assert caught.value.retryable
        assert "127.0.0.1" in caught.value.message
        await asyncio.to_thread(server.start)
        await patiently_settle(source, held)
        seen.update(numbers(held))
        give_up = time.monotonic() + PATIENCE_S
        while len(seen) < 100 and time.monotonic() < give_up:
            records = await patiently_poll(source, give_up)
            await patiently_settle(source, records)
            seen.update(numbers(records))
    assert seen == set(range(100))


@pytest.mark.parametrize("server_name", SERVERS)
async def test_a_sink_outlives_a_restart_of_its_broker(
    server_name: str, request: pytest.FixtureRequest
) -> None:
    bench, server = bench_on(server_name, request), request.getfixturevalue(server_name)
    sink = bench.sink()
    await sink.open()
    await sink.write([result(n) for n in range(10)])
    await asyncio.to_thread(server.kill)
    later = [result(n) for n in range(10, 20)]
    with pytest.raises(StreamError) as caught:
        await sink.write(later)
    assert caught.value.retryable
    await asyncio.to_thread(server.start)
    await patiently_write(sink, later)
    await sink.close()
    async with opened(bench.source()) as source:
        taken = await take(source, 20)
        assert set(numbers(taken)) == set(range(20))
        await source.settle(taken)


async def test_brokers_of_kafka_that_stop_answering_lose_nothing(
    kafka_cluster: KafkaCluster,
) -> None:
    bench = kafka_bench(kafka_cluster)
    await send(bench, range(60))
    async with opened(bench.source()) as source:
        first = await take(source, 20)
        kafka_cluster.pause()
        await source.settle(first)
        await asyncio.sleep(1)
        kafka_cluster.resume()
        seen = set(numbers(first))
        give_up = time.monotonic() + PATIENCE_S
        while len(seen) < 60 and time.monotonic() < give_up:
            records = await patiently_poll(source, give_up)
            await source.settle(records)
            seen.update(numbers(records))
    assert seen == set(range(60))


@pytest.mark.parametrize("server_name", [*SERVERS, "kafka_cluster"])
async def test_records_of_a_killed_consumer_go_to_the_other(
    server_name: str, request: pytest.FixtureRequest
) -> None:
    bench = bench_on(server_name, request)
    await send(bench, range(40))
    spec = msgspec.json.encode(bench.spec_in).decode()
    command = [sys.executable, "-m", "tests.brokers.killed_consumer", spec, "15"]
    child = await asyncio.to_thread(
        subprocess.Popen, command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert child.stdout is not None
    assert await asyncio.to_thread(child.stdout.readline) == "took 15\n"
    child.kill()
    await asyncio.to_thread(child.wait, 10)
    child.stdout.close()
    async with opened(bench.source()) as source:
        taken = await take(source, 40)
        assert sorted(numbers(taken)) == list(range(40))
        await source.settle(taken)


@pytest.mark.parametrize(
    "url", ["nats://u:hunter2@127.0.0.1:1", "amqp://u:hunter2@127.0.0.1:1", "kafka://127.0.0.1:1"]
)
async def test_a_broker_that_is_not_there_may_come(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from penstock.jobs.stream import kafka_sink, kafka_source
    from penstock.jobs.stream.open_broker import open_sink, open_source
    from penstock.jobs.stream.spec_brokers import (
        KafkaInput,
        KafkaOutput,
        NatsInput,
        NatsOutput,
        RabbitInput,
        RabbitOutput,
    )
    from tests.brokers.bench import nobody

    monkeypatch.setattr(kafka_source, "_ANSWER_S", 1.0)
    monkeypatch.setattr(kafka_sink, "ANSWER_S", 1.0)
    made = {
        "nats": (NatsInput(url=url, stream="s", group="g"), NatsOutput(url=url, subject="s")),
        "amqp": (RabbitInput(url=url, queue="s"), RabbitOutput(url=url, queue="s")),
        "kafka": (KafkaInput(url=url, topics=("s",), group="g"), KafkaOutput(url=url, topic="s")),
    }
    spec_in, spec_out = made[url.partition(":")[0]]
    source, sink = open_source(spec_in), open_sink(spec_out)
    with pytest.raises(StreamError) as of_source:
        await source.open(nobody)
    with pytest.raises(StreamError) as of_sink:
        await sink.open()
    for caught in (of_source, of_sink):
        assert caught.value.retryable
        assert "127.0.0.1:1" in caught.value.message
        assert "'s'" in caught.value.message
        assert "hunter2" not in caught.value.message
    await source.close()
    await sink.close()
