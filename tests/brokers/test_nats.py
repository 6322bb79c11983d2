"""What is NATS's own: credentials, permissions, streams that are not there, prefetch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import msgspec
import nats
import pytest
from nats.js import api

from penstock.core.errors import ConfigError, StreamError
from penstock.jobs.stream.nats_sink import NatsSink
from penstock.jobs.stream.nats_source import NatsSource
from penstock.jobs.stream.spec_brokers import NatsInput, NatsOutput
from tests.brokers.bench import nobody, numbers, opened, poll_on, result, send, take, take_nothing
from tests.brokers.conftest import nats_bench
from tests.brokers.nats_server import NatsServer

pytestmark = pytest.mark.fault


@pytest.fixture
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.kill()


async def test_a_wrong_password_is_refused_for_good(nats_server: NatsServer) -> None:
    url = nats_server.url_of("penstock", "hunter2")
    source = NatsSource(NatsInput(url=url, stream="s", group="g"))
    sink = NatsSink(NatsOutput(url=url, subject="s"))
    for opening in (source.open(nobody), sink.open()):
        with pytest.raises(StreamError, match="PENSTOCK_NATS_PASSWORD") as caught:
            await opening
        assert not caught.value.retryable
        assert "hunter2" not in caught.value.message


async def test_credentials_may_stand_in_the_environment(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = nats_bench(nats_server)
    monkeypatch.setenv("PENSTOCK_NATS_USERNAME", "penstock")
    monkeypatch.setenv("PENSTOCK_NATS_PASSWORD", "s3cret")
    url = f"nats://127.0.0.1:{nats_server.port}"
    async with opened(NatsSource(msgspec.structs.replace(bench.spec_in, url=url))) as source:
        await take_nothing(source, 0.1)


async def test_revoked_credentials_end_source_and_sink(own_server: NatsServer) -> None:
    bench = nats_bench(own_server)
    sink = bench.sink()
    await sink.open()
    await sink.write([result(n) for n in range(5)])
    async with opened(bench.source()) as source:
        held = await take(source, 5)
        own_server.change_password("another")
        with pytest.raises(StreamError) as caught:
            await poll_on(source, 5)
        assert not caught.value.retryable
        with pytest.raises(StreamError) as caught:
            await source.settle(held)
        assert not caught.value.retryable
        with pytest.raises(StreamError) as caught:
            await sink.write([result(6)])
        assert not caught.value.retryable
    await sink.close()
    spec = msgspec.structs.replace(bench.spec_in, url=own_server.url_of("penstock", "another"))
    async with opened(NatsSource(spec)) as source:
        again = await take(source, 5)
        assert sorted(numbers(again)) == list(range(5))


async def test_what_the_server_does_not_permit_is_told_at_once(nats_server: NatsServer) -> None:
    bench = nats_bench(nats_server)
    await send(bench, [0])
    narrow = nats_server.url_of("reader", "narrow")
    sink = NatsSink(msgspec.structs.replace(bench.spec_out, url=narrow, send_timeout_s=20))
    await sink.open()
    started = time.monotonic()
    with pytest.raises(StreamError, match=r"(?i)permissions") as caught:
        await sink.write([result(1)])
    assert time.monotonic() - started < 10
    assert not caught.value.retryable
    await sink.close()


async def test_a_stream_that_is_not_there_is_named(nats_server: NatsServer) -> None:
    source = NatsSource(NatsInput(url=nats_server.url, stream="missing", group="g"))
    with pytest.raises(StreamError, match=r"'missing'.*create: true"):
        await source.open(nobody)
    await source.close()
    sink = NatsSink(NatsOutput(url=nats_server.url, subject="kept.by.nobody"))
    await sink.open()
    with pytest.raises(StreamError, match=r"kept\.by\.nobody.*create: true"):
        await sink.write([result(1)])
    await sink.close()


async def test_a_message_in_the_wrong_stream_is_refused(nats_server: NatsServer) -> None:
    bench = nats_bench(nats_server)
    await send(bench, [])
    sink = NatsSink(msgspec.structs.replace(bench.spec_out, stream="another", create=False))
    await sink.open()
    with pytest.raises(StreamError, match="expected stream"):
        await sink.write([result(1)])
    await sink.close()


async def test_a_body_that_is_too_large_will_not_pass(nats_server: NatsServer) -> None:
    bench = nats_bench(nats_server)
    sink = bench.sink()
    await sink.open()
    with pytest.raises(StreamError, match="max_payload") as caught:
        await sink.write([result(1, pad=2_000_000)])
    assert not caught.value.retryable
    await sink.close()


async def test_no_more_is_asked_for_than_the_prefetch(nats_server: NatsServer) -> None:
    bench = nats_bench(nats_server)
    await send(bench, range(100))
    narrow = msgspec.structs.replace(bench.spec_in, prefetch=10)
    async with opened(NatsSource(narrow)) as source:
        first = await take(source, 1)
        client = await nats.connect(nats_server.url)
        try:
            for _ in range(5):
                await asyncio.sleep(0.05)
                info = await client.jetstream().consumer_info(bench.spec_in.stream, "g")
                assert info.num_ack_pending <= 20
        finally:
            await client.close()
        rest = await take(source, 99)
        assert sorted(numbers([*first, *rest])) == list(range(100))
        await source.settle([*first, *rest])


async def test_a_consumer_that_is_deleted_is_told_and_made_again(
    nats_server: NatsServer,
) -> None:
    bench = nats_bench(nats_server)
    await send(bench, range(5))
    client = await nats.connect(nats_server.url)
    async with opened(bench.source()) as source:
        await source.settle(await take(source, 5))
        await client.jetstream().delete_consumer(bench.spec_in.stream, "g")
        with pytest.raises(StreamError, match="the consumer is gone") as caught:
            await poll_on(source, 5)
        assert caught.value.retryable
        again = await take(source, 5)  # a new consumer begins where the description says
        await source.settle(again)
    await client.close()


async def test_a_message_of_another_client_is_read(nats_server: NatsServer) -> None:
    bench = nats_bench(nats_server)
    await send(bench, [])
    client = await nats.connect(nats_server.url)
    headers = {"Traceparent": "00-1-2-03"}
    await client.jetstream().publish(bench.spec_out.subject, b"plain", headers=headers)
    async with opened(bench.source()) as source:
        (record,) = await take(source, 1)
        assert (record.value, record.key) == (b"plain", None)
        assert list(record.headers) == [("Traceparent", b"00-1-2-03")]
        await source.settle([record])
    await client.close()


async def test_a_second_send_beyond_the_window_counts_again(nats_server: NatsServer) -> None:
    """What the docs say of the limit of ids: the stream's duplicate window."""
    bench = nats_bench(nats_server, create=False)
    client = await nats.connect(nats_server.url)
    config = api.StreamConfig(
        name=bench.spec_in.stream, subjects=[bench.spec_out.subject], duplicate_window=0.2
    )
    await client.jetstream().add_stream(config)
    sink = bench.sink()
    await sink.open()
    one = result(1)
    await sink.write([one])
    await sink.write([one])
    await asyncio.sleep(0.6)
    await sink.write([one])
    await sink.close()
    info = await client.jetstream().stream_info(bench.spec_in.stream)
    assert info.state.messages == 2
    await client.close()


def test_create_needs_a_stream() -> None:
    with pytest.raises(ConfigError, match="stream"):
        NatsSink(NatsOutput(url="nats://h", subject="s", create=True))
