"""What is Kafka's own, on librdkafka's mock cluster: commits, rebalances, back-pressure, faults."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

import msgspec
import psutil
import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from penstock.core.errors import StreamError
from penstock.jobs.stream.kafka_client import kafka_fault
from penstock.jobs.stream.kafka_sink import KafkaSink
from penstock.jobs.stream.kafka_source import KafkaSource
from penstock.jobs.stream.record import Record
from penstock.jobs.stream.spec_brokers import KafkaInput
from tests.brokers.bench import (
    PATIENCE_S,
    numbers,
    opened,
    poll_on,
    result,
    send,
    take,
    take_nothing,
)
from tests.brokers.conftest import SpecBench, kafka_bench
from tests.brokers.kafka_cluster import KafkaCluster
from tests.stores.redis_server import free_port

pytestmark = [pytest.mark.fault, pytest.mark.timeout(120)]


def committed(cluster: KafkaCluster, spec: KafkaInput) -> dict[int, int]:
    """The group's offsets, as anybody else sees them; without those that are not there."""
    consumer = Consumer({"bootstrap.servers": cluster.servers, "group.id": spec.group})
    places = [TopicPartition(spec.topics[0], number) for number in range(4)]
    found = consumer.committed(places, timeout=10)
    consumer.close()
    return {one.partition: one.offset for one in found if one.offset >= 0}


async def until_committed(
    cluster: KafkaCluster, bench: SpecBench, source: KafkaSource, expected: dict[int, int]
) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        await source.poll(0, 0.05)
        found = await asyncio.to_thread(committed, cluster, bench.spec_in)
        if found == expected:
            return
    raise AssertionError(f"committed {found}, not {expected}")


async def put(cluster: KafkaCluster, topic: str, count: int, partition: int = 0) -> None:
    """Messages 0, 1, ... in one partition, by a producer that is not ours."""

    def produce() -> None:
        producer = Producer({"bootstrap.servers": cluster.servers})
        for number in range(count):
            producer.produce(topic, str(number).encode(), partition=partition)
        assert producer.flush(20) == 0

    await asyncio.to_thread(produce)


async def test_only_what_is_settled_with_all_before_it_is_committed(
    kafka_cluster: KafkaCluster,
) -> None:
    bench = kafka_bench(kafka_cluster)
    await put(kafka_cluster, bench.spec_in.topics[0], 10)
    async with opened(bench.source()) as source:
        taken = await take(source, 10)
        await source.settle(taken[5:])
        await source.settle(taken[1:3])
        await source.poll(0, 0.2)
        assert await asyncio.to_thread(committed, kafka_cluster, bench.spec_in) == {}
        await source.settle(taken[:1])
        await until_committed(kafka_cluster, bench, source, {0: 3})
    async with opened(bench.source()) as source:
        again = await take(source, 7)
        assert numbers(again) == list(range(3, 10))
        await source.settle(again)
        await until_committed(kafka_cluster, bench, source, {0: 10})


async def test_when_partitions_go_what_is_under_way_ends_first_and_is_committed(
    kafka_cluster: KafkaCluster,
) -> None:
    bench = kafka_bench(kafka_cluster)
    await send(bench, range(200))
    first, other = _led_by_the_second(bench)
    held: list[Record] = []
    revoked: list[frozenset[tuple[str, str]]] = []
    took_s: list[float] = []

    async def drain(places: frozenset[tuple[str, str]]) -> None:
        started = time.monotonic()
        await asyncio.sleep(0.2)
        await first.settle([one for one in held if one.place in places])
        took_s.append(time.monotonic() - started)
        revoked.append(places)

    async with opened(first, drain):
        held += await take(first, 200)
        async with opened(other) as second:
            await _until(lambda: bool(revoked), [first, second])
            assert took_s[0] < 1.5  # to settle waits for nobody, or the loop would stand still
            gone = [one for one in held if one.place in revoked[0]]
            assert gone
            assert len(gone) < 200  # cooperative: the others stay
            assert await asyncio.to_thread(committed, kafka_cluster, bench.spec_in) == _ends(gone)

            await send(bench, range(200, 300))
            came: list[list[Record]] = [[], []]
            give_up = time.monotonic() + PATIENCE_S
            while sum(map(len, came)) < 100 and time.monotonic() < give_up:
                both = await asyncio.gather(first.poll(100, 0.1), second.poll(100, 0.1))
                for mine, new in zip(came, both, strict=True):
                    mine += new
            assert sorted(numbers([*came[0], *came[1]])) == list(range(200, 300))
            assert {one.place for one in came[1]} == revoked[0]

            await first.settle([one for one in held if one not in gone] + came[0])
            await second.settle(came[1])
            ends = _ends([*held, *came[0], *came[1]])
            give_up = time.monotonic() + PATIENCE_S
            found: dict[int, int] = {}
            while found != ends and time.monotonic() < give_up:
                await _poll_for(0.2, [first, second])
                found = await asyncio.to_thread(committed, kafka_cluster, bench.spec_in)
            assert found == ends


async def test_what_is_settled_while_the_group_changes_is_committed_before_one_leaves(
    kafka_cluster: KafkaCluster,
) -> None:
    """What is committed then comes too early or too late, and is refused."""
    bench = kafka_bench(kafka_cluster, **{"session.timeout.ms": 3000})
    await send(bench, range(200))
    one, second = _led_by_the_second(bench)
    async with opened(one) as first:
        held = await take(first, 200)
        await second.open(_nobody)
        await _poll_for(1, [first, second])
        await first.settle(held)
    assert await asyncio.to_thread(committed, kafka_cluster, bench.spec_in) == _ends(held)
    await second.close()


@pytest.mark.slow
async def test_what_is_not_done_in_time_comes_to_the_other_and_is_not_committed_twice(
    kafka_cluster: KafkaCluster,
) -> None:
    bench = kafka_bench(kafka_cluster)
    await send(bench, range(100))
    first = KafkaSource(msgspec.structs.replace(bench.spec_in, drain_s=0.3))
    revoked: list[frozenset[tuple[str, str]]] = []

    async def never(places: frozenset[tuple[str, str]]) -> None:
        revoked.append(places)
        await asyncio.sleep(60)

    async with opened(first, never):
        held = await take(first, 100)
        second = bench.source()
        async with opened(second):
            await _until(lambda: bool(revoked), [first, second])
            lost = [one for one in held if one.place in revoked[0]]
            again: list[Record] = []
            give_up = time.monotonic() + PATIENCE_S
            while len(again) < len(lost) and time.monotonic() < give_up:
                again += await second.poll(100, 0.1)
                await first.poll(0, 0.01)
            assert sorted(numbers(again)) == sorted(numbers(lost))
            await first.settle(lost)  # too late: they are somebody else's
            await first.poll(0, 0.3)
            places = {one.place for one in lost}
            found = await asyncio.to_thread(committed, kafka_cluster, bench.spec_in)
            assert not any((bench.spec_in.topics[0], str(one)) in places for one in found)
            assert not first.are_ours(lost)
            assert second.are_ours(again)  # type: ignore[attr-defined]
            await second.settle(again)
            await first.settle([one for one in held if one not in lost])


@pytest.mark.slow
async def test_partitions_that_are_lost_are_dropped_without_commit(
    kafka_cluster: KafkaCluster, caplog: pytest.LogCaptureFixture
) -> None:
    bench = kafka_bench(kafka_cluster, **{"max.poll.interval.ms": 6000})
    await put(kafka_cluster, bench.spec_in.topics[0], 20)
    async with opened(bench.source()) as source:
        held = await take(source, 20)
        await asyncio.sleep(8)  # for too long it does not poll
        with pytest.raises(StreamError) as caught:
            await poll_on(source, 0)
        assert caught.value.retryable
        await _poll_for(1, [source])
        assert "were lost" in caplog.text
        assert not source.are_ours(held)  # type: ignore[attr-defined]
        await source.settle(held)
        again = await take(source, 20)
        assert await asyncio.to_thread(committed, kafka_cluster, bench.spec_in) == {}
        assert numbers(again) == list(range(20))
        await source.settle(again)


@pytest.mark.slow
async def test_full_for_long_it_keeps_its_place_and_loses_nothing(
    kafka_cluster: KafkaCluster,
) -> None:
    bench = kafka_bench(kafka_cluster, **{"max.poll.interval.ms": 6000})
    await put(kafka_cluster, bench.spec_in.topics[0], 1000)
    async with opened(bench.source()) as source:
        held = await take(source, 100)
        give_up = time.monotonic() + 8
        while time.monotonic() < give_up:
            assert list(await source.poll(0, 0.1)) == []
        held += await take(source, 900)
        assert numbers(held) == list(range(1000))
        assert source.are_ours(held)
        await source.settle(held)


@pytest.mark.slow
async def test_new_partitions_wait_too_while_it_is_full(kafka_cluster: KafkaCluster) -> None:
    bench = kafka_bench(kafka_cluster)
    await send(bench, range(400))
    async with opened(bench.source()) as first:
        held = await take(first, 40)
        second = bench.source()
        await second.open(_nobody)
        await _poll_for(1.5, [first, second])
        await second.close()
        give_up = time.monotonic() + 5
        while time.monotonic() < give_up:
            assert list(await first.poll(0, 0.05)) == []
        seen = set(numbers(held))
        give_up = time.monotonic() + PATIENCE_S
        while len(seen) < 400 and time.monotonic() < give_up:
            seen.update(numbers(await first.poll(100, 0.1)))
        assert seen == set(range(400))


async def test_what_ends_a_transaction_is_no_lag(kafka_cluster: KafkaCluster) -> None:
    """Its mark takes an offset that no record has."""
    bench = kafka_bench(kafka_cluster)
    topic = bench.spec_in.topics[0]

    def produce() -> None:
        settings = {"bootstrap.servers": kafka_cluster.servers, "transactional.id": topic}
        producer = Producer(settings)
        producer.init_transactions(10)
        for number in range(3):
            producer.begin_transaction()
            producer.produce(topic, str(number).encode(), partition=0)
            producer.commit_transaction(10)

    await asyncio.to_thread(produce)
    async with opened(bench.source()) as source:
        taken = await take(source, 3)
        await source.settle(taken)
        give_up = time.monotonic() + PATIENCE_S
        while (lag := await source.lag()).records and time.monotonic() < give_up:
            await source.poll(10, 0.1)
        assert lag.records == 0


async def test_a_group_may_begin_with_what_comes_from_now_on(kafka_cluster: KafkaCluster) -> None:
    bench = kafka_bench(kafka_cluster)
    await send(bench, range(10))
    latest = KafkaSource(msgspec.structs.replace(bench.spec_in, start="latest"))
    async with opened(latest):
        await take_nothing(latest, 4)
        await send(bench, range(10, 20))
        taken = await take(latest, 10)
        assert sorted(numbers(taken)) == list(range(10, 20))
        await latest.settle(taken)


async def test_a_topic_that_is_not_there_is_named() -> None:
    error = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
    fault = kafka_fault(error, "kafka://h:9092", "t")
    assert fault.retryable
    assert "'t'" in fault.message
    assert "create the topic" in fault.message


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (KafkaError._AUTHENTICATION, "PENSTOCK_KAFKA_PASSWORD"),
        (KafkaError.SASL_AUTHENTICATION_FAILED, "PENSTOCK_KAFKA_PASSWORD"),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "ACL"),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, "ACL"),
        (KafkaError._FENCED, "transactional_id"),
        (KafkaError.FENCED_INSTANCE_ID, "group.instance.id"),
        (KafkaError.MSG_SIZE_TOO_LARGE, "message.max.bytes"),
    ],
)
async def test_who_is_refused_is_not_tried_again(
    kafka_cluster: KafkaCluster, code: int, remedy: str
) -> None:
    """The mock cluster knows no passwords: the library's callback is called as it would."""
    bench = kafka_bench(kafka_cluster)
    await send(bench, [])
    async with opened(bench.source()) as source:
        source._on_error(KafkaError(code))
        with pytest.raises(StreamError, match=remedy) as caught:
            await source.poll(1, 0.1)
        assert not caught.value.retryable
        await source.poll(1, 0.1)  # told once


async def test_brokers_that_cannot_be_reached_are_told_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library writes several lines for each of its own attempts."""
    monkeypatch.setattr("penstock.jobs.stream.kafka_source._ANSWER_S", 1.0)
    caplog.set_level(logging.DEBUG, "penstock.kafka")
    url = f"kafka://127.0.0.1:{free_port()}"
    source = KafkaSource(KafkaInput(url=url, topics=("t",), group="g"))
    process = psutil.Process()
    threads = process.num_threads()
    for _ in range(2):
        with pytest.raises(StreamError, match="see whether the brokers are up"):
            await source.open(_nobody)
        assert process.num_threads() <= threads + 1  # no client that failed goes on
    said = [record for record in caplog.records if "Connection refused" in record.getMessage()]
    assert {record.levelno for record in said} == {logging.DEBUG}
    await source.close()


async def test_what_passes_by_itself_ends_no_poll(kafka_cluster: KafkaCluster) -> None:
    bench = kafka_bench(kafka_cluster)
    await send(bench, [])
    async with opened(bench.source()) as source:
        source._on_error(KafkaError(KafkaError._TRANSPORT))
        await source.poll(1, 0.1)
        source._on_error(KafkaError(KafkaError._ALL_BROKERS_DOWN))
        with pytest.raises(StreamError) as caught:
            await source.poll(1, 0.1)
        assert caught.value.retryable


async def test_a_poll_that_is_cancelled_loses_nothing(kafka_cluster: KafkaCluster) -> None:
    bench = kafka_bench(kafka_cluster)
    await put(kafka_cluster, bench.spec_in.topics[0], 500)
    async with opened(bench.source()) as source:
        taken = list(await take(source, 1))
        give_up = time.monotonic() + PATIENCE_S
        while len(taken) < 500 and time.monotonic() < give_up:
            polling = asyncio.create_task(source.poll(50, 0.5))
            await asyncio.sleep(0)
            await asyncio.sleep(0.001)
            polling.cancel()
            try:
                taken += await polling
            except asyncio.CancelledError:
                taken += await source.poll(10, 0.1)
        assert numbers(taken) == list(range(500))
        await source.settle(taken)


async def test_what_is_too_large_will_not_pass(kafka_cluster: KafkaCluster) -> None:
    bench = kafka_bench(kafka_cluster)
    sink = bench.sink()
    await sink.open()
    with pytest.raises(StreamError, match=r"message\.max\.bytes") as caught:
        await sink.write([result(0), result(1, pad=2_000_000)])
    assert not caught.value.retryable
    await sink.write([result(2)])
    await sink.close()


async def test_brokers_that_stop_answering_end_a_write_in_time(
    kafka_cluster: KafkaCluster,
) -> None:
    bench = kafka_bench(kafka_cluster)
    sink = KafkaSink(msgspec.structs.replace(bench.spec_out, send_timeout_s=2))
    await sink.open()
    await sink.write([result(0)])
    kafka_cluster.pause()
    try:
        started = time.monotonic()
        with pytest.raises(StreamError) as caught:
            await sink.write([result(1)])
        assert time.monotonic() - started < 20
        assert caught.value.retryable
    finally:
        kafka_cluster.resume()
    await sink.write([result(2)])
    await sink.close()
    async with opened(bench.source()) as source:
        seen: set[int] = set()
        give_up = time.monotonic() + PATIENCE_S
        while not seen >= {0, 2} and time.monotonic() < give_up:
            seen.update(numbers(await source.poll(10, 0.2)))
        assert seen >= {0, 2}


async def test_one_key_goes_to_one_partition_and_to_the_one_of_java(
    kafka_cluster: KafkaCluster,
) -> None:
    bench = kafka_bench(kafka_cluster)
    sink = bench.sink()
    await sink.open()
    await sink.write([result(n, key=b"kafka") for n in range(20)])
    await sink.close()
    async with opened(bench.source()) as source:
        taken = await take(source, 20)
        assert {one.partition for one in taken} == {str(_java_partition(b"kafka", 4))}
        await source.settle(taken)


def _led_by_the_second(bench: SpecBench) -> tuple[KafkaSource, KafkaSource]:
    """Two members of a group, of whom the one that comes second leads.

    Where a leader of the mock cluster is ahead of the others, these have to join once more, and
    meanwhile it refuses commits, which a broker takes. So the first, who commits, does not lead.
    """
    spec: Any = bench.spec_in
    first, second = (
        KafkaSource(
            msgspec.structs.replace(spec, options={**spec.options, "group.instance.id": name})
        )
        for name in ("b", "a")
    )
    return first, second


def _ends(records: Sequence[Record]) -> dict[int, int]:
    """Where each partition goes on behind these."""
    ends: dict[int, int] = {}
    for one in records:
        place = int(one.partition)
        ends[place] = max(ends.get(place, 0), int(one.position) + 1)
    return ends


async def _nobody(places: frozenset[tuple[str, str]]) -> None: ...


async def _until(condition: Any, sources: Sequence[Any]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < give_up:
        await asyncio.gather(*(one.poll(0, 0.05) for one in sources))
    assert condition()


async def _poll_for(seconds: float, sources: Sequence[Any]) -> None:
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        await asyncio.gather(*(one.poll(0, 0.05) for one in sources))


def _java_partition(key: bytes, num_partitions: int) -> int:
    """murmur2 as Kafka's Java clients have it: the judge of the setting."""
    length, m, mask = len(key), 0x5BD1E995, 0xFFFFFFFF
    h = (0x9747B28C ^ length) & mask
    for start in range(0, length - length % 4, 4):
        k = int.from_bytes(key[start : start + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    rest = key[length - length % 4 :]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return ((h ^ h >> 15) & 0x7FFFFFFF) % num_partitions
