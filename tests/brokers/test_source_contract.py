"""What every source promises, on each broker: real servers, and for Kafka librdkafka's mock."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest

from tests.brokers.bench import (
    Bench,
    nobody,
    numbers,
    opened,
    send,
    share,
    take,
    take_nothing,
    until_lag,
)
from tests.brokers.conftest import SpecBench

pytestmark = pytest.mark.fault


async def test_each_record_comes_until_it_is_settled_and_then_never_again(bench: Bench) -> None:
    await send(bench, range(50))
    async with opened(bench.source()) as source:
        taken = await take(source, 50)
        assert sorted(numbers(taken)) == list(range(50))
        await source.settle([one for one in taken if int(one.value) % 2 == 0])
        await source.release([one for one in taken if int(one.value) % 2])
        again = await take(source, 25)
        assert sorted(numbers(again)) == list(range(1, 50, 2))
        await source.settle(again)
        await take_nothing(source)
    async with opened(bench.source()) as source:
        await take_nothing(source)


async def test_what_was_taken_and_not_settled_comes_after_a_restart(bench: Bench) -> None:
    await send(bench, range(40))
    async with opened(bench.source()) as source:
        taken = await take(source, 40)
        await source.settle(taken[:10])
    async with opened(bench.source()) as source:
        again = await take(source, 30)
        assert sorted(numbers(again)) == sorted(numbers(taken[10:]))
        await source.settle(again)
        await take_nothing(source)


async def test_it_hands_over_the_message_as_it_came(bench: Bench, broker: str) -> None:
    before_ms = time.time_ns() // 1_000_000 - 60_000
    await send(bench, [3])
    async with opened(bench.source()) as source:
        (record,) = await take(source, 1)
        assert (record.value, record.key, record.deliveries) == (b"3", b"3", 0)
        if broker != "memory":
            assert ("n", b"3") in list(record.headers)
        assert record.time_ms > before_ms
        await source.settle([record])


async def test_a_position_is_the_same_at_each_delivery_and_of_one_record_only(
    bench: Bench,
) -> None:
    await send(bench, range(20))
    async with opened(bench.source()) as source:
        first = await take(source, 20)
    async with opened(bench.source()) as source:
        second = await take(source, 20)
        await source.settle(second)

    def places(records: list) -> dict[int, tuple[str, str, str]]:
        return {int(one.value): (one.stream, one.partition, one.position) for one in records}

    assert places(first) == places(second)
    assert len(set(places(first).values())) == 20


async def test_order_holds_within_a_partition(bench: Bench) -> None:
    await send(bench, range(200))
    await send(bench, range(200, 400))
    async with opened(bench.source()) as source:
        taken = await take(source, 400)
        await source.settle(taken)
    for partition in {one.partition for one in taken}:
        here = numbers(one for one in taken if one.partition == partition)
        assert here == sorted(here)


async def test_a_released_record_comes_again_and_says_so(bench: Bench) -> None:
    await send(bench, [0])
    async with opened(bench.source()) as source:
        for _ in range(3):
            (record,) = await take(source, 1)
            await source.release([record])
        (record,) = await take(source, 1)
        assert record.deliveries >= 1
        await source.settle([record])
        await take_nothing(source)


async def test_poll_of_none_takes_none_for_as_long_as_it_is_called(bench: Bench) -> None:
    await send(bench, range(30))
    async with opened(bench.source()) as source:
        first = await take(source, 5)
        for _ in range(20):
            started = time.monotonic()
            assert list(await source.poll(0, 0.05)) == []
            assert time.monotonic() - started < 1.0
        rest = await take(source, 25)
        assert sorted(numbers([*first, *rest])) == list(range(30))
        await source.settle([*first, *rest])


async def test_it_gives_no_more_than_asked_for(bench: Bench) -> None:
    await send(bench, range(30))
    async with opened(bench.source()) as source:
        taken = []
        while len(taken) < 30:
            some = await source.poll(7, 5)
            assert len(some) <= 7
            taken += some
        await source.settle(taken)


async def test_an_idle_poll_returns_in_time_and_then_hears_what_comes(bench: Bench) -> None:
    await send(bench, [])
    async with opened(bench.source()) as source:
        await source.poll(10, 2)  # joins a group, where there are some
        started = time.monotonic()
        assert list(await source.poll(10, 0.3)) == []
        assert time.monotonic() - started < 2

        async def later() -> None:
            await asyncio.sleep(0.2)
            await send(bench, [1])

        sending = asyncio.create_task(later())
        taken = await take(source, 1)
        await sending
        await source.settle(taken)


async def test_the_lag_counts_what_waits_and_falls_to_none(bench: Bench, broker: str) -> None:
    await send(bench, range(25))
    async with opened(bench.source()) as source:
        if broker != "kafka":  # it knows once it has joined the group
            await until_lag(source, 25)
        taken = await take(source, 25)
        await source.settle(taken[:24])
        await source.settle(taken[24:])
        await until_lag(source, 0)


async def test_settling_twice_or_nothing_does_no_harm(bench: Bench) -> None:
    await send(bench, range(10))
    async with opened(bench.source()) as source:
        taken = await take(source, 10)
        await source.settle([])
        await source.release([])
        await source.settle(taken)
        await source.settle(taken)
        await source.release(taken[:0])
        await take_nothing(source)


async def test_settling_in_any_order_loses_nothing(bench: Bench) -> None:
    await send(bench, range(60))
    async with opened(bench.source()) as source:
        taken = await take(source, 60)
        for place in (*range(59, 30, -2), *range(0, 30, 2)):
            await source.settle([taken[place]])
        open_ones = [taken[p] for p in range(60) if p % 2 == (0 if p > 30 else 1) or p == 30]
    async with opened(bench.source()) as source:
        missing = set(numbers(open_ones))
        give_up = time.monotonic() + 20
        while missing and time.monotonic() < give_up:
            records = await source.poll(100, 0.2)
            missing -= set(numbers(records))
            await source.settle(records)
        assert not missing


async def test_two_consumers_share_and_miss_nothing(bench: Bench, broker: str) -> None:
    await send(bench, range(300))
    if isinstance(bench, SpecBench) and hasattr(bench.spec_in, "prefetch"):
        bench.spec_in = msgspec.structs.replace(bench.spec_in, prefetch=20)
    async with opened(bench.source()) as one, opened(bench.source()) as two:
        came = await share([one, two], 300)
    if broker != "kafka":  # there, the second one may join when the first is through
        assert all(came)
        assert sum(map(len, came)) == 300


async def test_a_slow_runner_keeps_what_it_holds(bench: Bench) -> None:
    """Longer under way than ``ack_wait_s`` and ``min_idle_s``, with signs of life between."""
    await send(bench, range(10))
    async with opened(bench.source()) as slow:
        held = await take(slow, 10)
        async with opened(bench.source()) as other:
            give_up = time.monotonic() + 4
            while time.monotonic() < give_up:
                await slow.poll(0, 0.1)
                assert numbers(await other.poll(10, 0.1)) == []
            await slow.settle(held)
            await take_nothing(other)


async def test_closing_twice_and_before_opening_raises_nothing(bench: Bench) -> None:
    source = bench.source()
    await source.close()
    source = bench.source()
    await send(bench, [])
    await source.open(nobody)
    await source.close()
