"""What is RabbitMQ's own: credentials, missing queues, dead letters, acknowledgements."""

from __future__ import annotations

import asyncio
import uuid

import aio_pika
import msgspec
import pytest

from penstock.core.errors import ConfigError, StreamError
from penstock.jobs.stream.rabbitmq_sink import RabbitSink
from penstock.jobs.stream.rabbitmq_source import RabbitSource
from penstock.jobs.stream.spec_brokers import RabbitInput, RabbitOutput
from tests.brokers.bench import nobody, numbers, opened, poll_on, result, send, take, take_nothing
from tests.brokers.conftest import rabbit_bench
from tests.brokers.rabbitmq_server import RabbitServer

pytestmark = [pytest.mark.fault, pytest.mark.timeout(120)]


async def test_a_wrong_password_is_refused_for_good(rabbit_server: RabbitServer) -> None:
    url = rabbit_server.url_of("guest", "hunter2")
    source = RabbitSource(RabbitInput(url=url, queue="q"))
    sink = RabbitSink(RabbitOutput(url=url, queue="q"))
    for opening in (source.open(nobody), sink.open()):
        with pytest.raises(StreamError, match="PENSTOCK_RABBITMQ_PASSWORD") as caught:
            await opening
        assert not caught.value.retryable
        assert "hunter2" not in caught.value.message


async def test_revoked_credentials_end_source_and_sink(rabbit_server: RabbitServer) -> None:
    await asyncio.to_thread(rabbit_server.control, "add_user", "temp", "word")
    await asyncio.to_thread(rabbit_server.control, "set_permissions", "temp", ".*", ".*", ".*")
    bench = rabbit_bench(rabbit_server)
    url = rabbit_server.url_of("temp", "word")
    await send(bench, range(5))
    sink = RabbitSink(msgspec.structs.replace(bench.spec_out, url=url))
    await sink.open()
    async with opened(RabbitSource(msgspec.structs.replace(bench.spec_in, url=url))) as source:
        await take(source, 5)
        await asyncio.to_thread(rabbit_server.control, "delete_user", "temp")
        await asyncio.to_thread(rabbit_server.control, "close_all_connections", "revoked")
        with pytest.raises(StreamError) as caught:
            await poll_on(source, 5)
        assert not caught.value.retryable
        with pytest.raises(StreamError) as caught:
            await sink.write([result(1)])
        assert not caught.value.retryable
    await sink.close()
    async with opened(bench.source()) as source:
        assert sorted(numbers(await take(source, 5))) == list(range(5))


async def test_a_queue_that_is_not_there_is_named(rabbit_server: RabbitServer) -> None:
    source = RabbitSource(RabbitInput(url=rabbit_server.url, queue="missing"))
    with pytest.raises(StreamError, match=r"'missing'.*create: true"):
        await source.open(nobody)
    await source.close()
    sink = RabbitSink(RabbitOutput(url=rabbit_server.url, queue="missing"))
    with pytest.raises(StreamError, match=r"'missing'.*create: true"):
        await sink.open()
    await sink.close()


async def test_what_an_exchange_leads_nowhere_is_not_lost_in_silence(
    rabbit_server: RabbitServer,
) -> None:
    sink = RabbitSink(RabbitOutput(url=rabbit_server.url, queue="nowhere", exchange="amq.direct"))
    await sink.open()
    with pytest.raises(StreamError, match="nowhere"):
        await sink.write([result(1), result(2)])
    await sink.close()


async def test_a_queue_of_another_kind_will_not_pass(rabbit_server: RabbitServer) -> None:
    bench = rabbit_bench(rabbit_server, "classic")
    await send(bench, [])
    source = RabbitSource(msgspec.structs.replace(bench.spec_in, kind="quorum"))
    with pytest.raises(StreamError, match="kind") as caught:
        await source.open(nobody)
    assert not caught.value.retryable
    await source.close()


async def test_what_is_given_up_on_goes_to_the_dead_letter_exchange(
    rabbit_server: RabbitServer,
) -> None:
    letters = f"dead-{uuid.uuid4().hex}"
    connection = await aio_pika.connect(rabbit_server.url)
    channel = await connection.channel()
    queue = await channel.declare_queue(letters, durable=True)
    await queue.bind("amq.fanout")
    bench = rabbit_bench(rabbit_server)
    spec = msgspec.structs.replace(
        bench.spec_in, dead_letter_exchange="amq.fanout", delivery_limit=2
    )
    async with opened(RabbitSource(spec)) as source:
        sink = RabbitSink(msgspec.structs.replace(bench.spec_out, create=False))
        await sink.open()
        await sink.write([result(7)])
        await sink.close()
        for delivery in range(3):
            (record,) = await take(source, 1)
            assert record.deliveries == delivery
            await source.release([record])
        await take_nothing(source)
    async with opened(RabbitSource(RabbitInput(url=rabbit_server.url, queue=letters))) as source:
        (dead,) = await take(source, 1)
        assert (dead.value, dead.position) == (b"7", record.position)
        assert dead.deliveries >= 1
        await source.settle([dead])
    await connection.close()


@pytest.mark.parametrize("kind", ["quorum", "classic"])
async def test_the_prefetch_bounds_what_is_held(rabbit_server: RabbitServer, kind: str) -> None:
    bench = rabbit_bench(rabbit_server, kind)
    await send(bench, range(50))
    spec = msgspec.structs.replace(bench.spec_in, prefetch=10)
    async with opened(RabbitSource(spec)) as source:
        held = await take(source, 10)
        await take_nothing(source, 0.5)
        await source.settle(held[5:])
        held = [*held[:5], *await take(source, 5)]
        await take_nothing(source, 0.5)
        await source.settle(held)
        for _ in range(7):
            await source.settle(await take(source, 5))
        await take_nothing(source)
    async with opened(bench.source()) as source:
        await take_nothing(source)


async def test_acknowledging_out_of_order_tells_of_no_other(rabbit_server: RabbitServer) -> None:
    """Many at once only where none between is under way."""
    bench = rabbit_bench(rabbit_server)
    await send(bench, range(9))
    async with opened(bench.source()) as source:
        taken = await take(source, 9)
        await source.settle([taken[4], taken[8], taken[0], taken[1]])
        await source.settle([taken[5]])
    async with opened(bench.source()) as source:
        left = sorted(numbers(await take(source, 4)))
        assert left == sorted(numbers(taken[place] for place in (2, 3, 6, 7)))


async def test_a_queue_that_is_deleted_is_told(rabbit_server: RabbitServer) -> None:
    bench = rabbit_bench(rabbit_server, "classic")
    await send(bench, range(3))
    spec = msgspec.structs.replace(bench.spec_in, create=False)
    connection = await aio_pika.connect(rabbit_server.url)
    async with opened(RabbitSource(spec)) as source:
        await take(source, 3)
        channel = await connection.channel()
        await channel.queue_delete(bench.spec_in.queue)
        with pytest.raises(StreamError, match=bench.spec_in.queue) as caught:
            await poll_on(source)
        assert caught.value.retryable
    await connection.close()


async def test_a_message_of_another_client_is_read(rabbit_server: RabbitServer) -> None:
    bench = rabbit_bench(rabbit_server)
    await send(bench, [])
    connection = await aio_pika.connect(rabbit_server.url)
    channel = await connection.channel()
    headers = {"number": 5, "text": "é", "flag": True}
    message = aio_pika.Message(b"plain", message_id="m-1", headers=headers)
    await channel.default_exchange.publish(message, bench.spec_in.queue)
    await channel.default_exchange.publish(aio_pika.Message(b"bare"), bench.spec_in.queue)
    async with opened(bench.source()) as source:
        plain, bare = await take(source, 2)
        assert (plain.value, plain.position, plain.key) == (b"plain", "m-1", None)
        assert dict(plain.headers) == {"number": b"5", "text": "é".encode(), "flag": b"True"}
        assert bare.position
        await source.settle([plain, bare])
    await connection.close()


def test_create_makes_queues_only() -> None:
    with pytest.raises(ConfigError, match="exchange"):
        RabbitSink(RabbitOutput(url="amqp://h", queue="q", exchange="e", create=True))
