"""What every sink promises, on each broker."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from penstock.jobs.stream.record import Produced
from tests.brokers.bench import Bench, numbers, opened, result, take, take_nothing

pytestmark = pytest.mark.fault


async def test_what_write_returned_for_is_there(bench: Bench) -> None:
    sink = bench.sink()
    await sink.open()
    await sink.write([result(number) for number in range(500)])
    await sink.write([])
    await sink.close()
    async with opened(bench.source()) as source:
        taken = await take(source, 500)
        assert sorted(numbers(taken)) == list(range(500))
        await source.settle(taken)


async def test_bodies_keys_and_headers_are_kept(bench: Bench, broker: str) -> None:
    if broker == "memory":
        pytest.skip("keeps no headers")
    origin = result(0).source
    every_byte = bytes(range(256))
    sent = [
        Produced(str(uuid.uuid4()), b"", None, {}, origin),
        Produced(
            str(uuid.uuid4()), every_byte, every_byte, {"x-error": b"a text: \xc3\xa9"}, origin
        ),
        Produced(str(uuid.uuid4()), b"0" * 300_000, b"", {"a": b"1", "b": b""}, origin),
    ]
    sink = bench.sink()
    await sink.open()
    await sink.write(sent)
    await sink.close()
    async with opened(bench.source()) as source:
        by_body = {one.value: one for one in await take(source, 3)}
        for one in sent:
            came = by_body[one.value]
            assert came.key == one.key
            assert one.headers.items() <= dict(came.headers).items()
        await source.settle(list(by_body.values()))


async def test_what_is_sent_twice_has_one_effect_where_the_broker_lets_it(bench: Bench) -> None:
    if not bench.has_ids:
        pytest.skip("the broker keeps what is sent twice, twice; the id goes with it")
    results = [result(number) for number in range(20)]
    for _ in range(2):
        sink = bench.sink()
        await sink.open()
        await sink.write(results)
        await sink.write(results[:7])
        await sink.close()
    async with opened(bench.source()) as source:
        taken = await take(source, 20)
        assert sorted(numbers(taken)) == list(range(20))
        await source.settle(taken)
        await take_nothing(source)


async def test_what_is_sent_twice_can_be_told_by_its_id(bench: Bench, broker: str) -> None:
    if bench.has_ids or broker == "memory":
        pytest.skip("nothing comes twice")
    sink = bench.sink()
    await sink.open()
    one = result(1)
    twice = Produced(one.id, one.value, None, {"penstock-id": one.id.encode()}, one.source)
    await sink.write([twice])
    await sink.write([twice])
    await sink.close()
    async with opened(bench.source()) as source:
        taken = await take(source, 2)
        assert {dict(record.headers)["penstock-id"] for record in taken} == {one.id.encode()}
        await source.settle(taken)


async def test_writes_at_the_same_time_all_arrive(bench: Bench) -> None:
    sink = bench.sink()
    await sink.open()
    batches = [[result(100 * b + n) for n in range(100)] for b in range(5)]
    await asyncio.gather(*(sink.write(batch) for batch in batches))
    await sink.close()
    async with opened(bench.source()) as source:
        taken = await take(source, 500)
        assert sorted(numbers(taken)) == list(range(500))
        await source.settle(taken)


async def test_a_slow_sink_holds_nobody_else_up(bench: Bench) -> None:
    """While a large micro-batch is on its way the loop goes on."""
    sink = bench.sink()
    await sink.open()
    writing = asyncio.create_task(sink.write([result(n, pad=20_000) for n in range(300)]))
    turns = 0
    while not writing.done():
        await asyncio.sleep(0.001)
        turns += 1
    await writing
    await sink.close()
    assert turns >= 1
