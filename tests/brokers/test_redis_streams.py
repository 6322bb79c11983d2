"""Redis Streams beyond the contracts: groups that go, consumers that die, rights that go."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from penstock.core.errors import ConfigError, StreamError
from penstock.jobs.stream.record import Produced, Record
from penstock.jobs.stream.redis_client import redis_address
from penstock.jobs.stream.redis_sink import RedisExactlyOnce, RedisSink, ids_key
from penstock.jobs.stream.redis_source import RedisSource
from penstock.jobs.stream.spec_redis import RedisInput, RedisOutput
from tests.brokers.bench import nobody, opened, result, take, take_nothing
from tests.stores.redis_server import RedisServer

pytestmark = pytest.mark.fault


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[Redis]:
    one: Redis = Redis.from_url(redis_server.url, protocol=2)
    yield one
    await one.aclose()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def spec(redis_server: RedisServer) -> RedisInput:
    name = uuid.uuid4().hex
    return RedisInput(url=redis_server.url, stream=name, group="g", min_idle_s=0.3)


async def add(client: Redis, spec: RedisInput, *values: str, **fields: str) -> list[str]:
    ids = [await client.xadd(spec.stream, {"value": value, **fields}) for value in values]
    return [one.decode() for one in ids]


async def die(source: RedisSource) -> None:
    """Leave without a word."""
    await source._redis.close()


async def values_until_quiet(source: RedisSource, for_s: float = 1.0) -> list[str]:
    """What comes, each poll's values joined, until nothing has come for a while."""
    polls: list[str] = []
    loop = asyncio.get_running_loop()
    give_up = loop.time() + for_s
    while loop.time() < give_up:
        records = await source.poll(100, 0.05)
        if records:
            polls.append("".join(record.value.decode() for record in records))
            give_up = loop.time() + for_s
            await source.settle(records)
    return polls


async def test_an_entry_becomes_a_record(client: Redis, spec: RedisInput) -> None:
    async with opened(RedisSource(spec)) as source:
        (id_,) = await add(client, spec, "v", key="k", trace="1")
        (record,) = await take(source, 1)
        assert (record.position, record.value, record.key) == (id_, b"v", b"k")
        assert record.headers == (("trace", b"1"),)
        assert record.time_ms == int(id_.partition("-")[0])
        await client.xadd(spec.stream, {"other": "x"})
        (bare,) = await take(source, 1)
        assert (bare.value, bare.headers) == (b"", (("other", b"x"),))


async def test_a_group_that_is_made_begins_where_it_is_told(
    client: Redis, spec: RedisInput, redis_server: RedisServer
) -> None:
    await add(client, spec, "old")
    late = RedisInput(url=redis_server.url, stream=spec.stream, group="late", start="latest")
    async with opened(RedisSource(late)) as source:
        await add(client, spec, "new")
        assert [record.value for record in await take(source, 1)] == [b"new"]
    async with opened(RedisSource(spec)) as source:
        assert [record.value for record in await take(source, 2)] == [b"old", b"new"]


async def test_what_a_dead_consumer_had_is_claimed_and_counted(
    client: Redis, spec: RedisInput
) -> None:
    dead = RedisSource(spec, "dead")
    await dead.open(nobody)
    await add(client, spec, "a", "b", "c")
    assert len(await take(dead, 3)) == 3
    await die(dead)
    async with opened(RedisSource(spec)) as source:
        records = await take(source, 3)
        assert [record.deliveries for record in records] == [1, 1, 1]
        await source.settle(records)
    assert (await client.xpending(spec.stream, spec.group))["pending"] == 0


async def test_what_it_holds_itself_does_not_come_again(client: Redis, spec: RedisInput) -> None:
    async with opened(RedisSource(spec)) as source:
        await add(client, spec, "a")
        held = await take(source, 1)
        source._keep_at = float("inf")  # it was too busy to say that it lives
        await take_nothing(source, 1.0)
        await source.settle(held)


async def test_what_was_delivered_often_is_claimed_alone(client: Redis, spec: RedisInput) -> None:
    async with opened(RedisSource(spec)) as source:
        ids = await add(client, spec, "a", "b", "c", "d")
        dead = RedisSource(spec, "dead")
        await take(dead, 4)
        await die(dead)
        for id_ in ids[:2]:
            await client.xclaim(spec.stream, spec.group, "dead", 0, [id_])
        assert await values_until_quiet(source) == ["cd", "a", "b"]


async def test_a_consumer_that_leaves_with_nothing_is_forgotten(
    client: Redis, spec: RedisInput
) -> None:
    one, other = RedisSource(spec, "one"), RedisSource(spec, "other")
    await one.open(nobody)
    await add(client, spec, "a", "b")
    await one.settle(await one.poll(1, 1))
    assert len(await other.poll(1, 1)) == 1
    await one.close()
    await other.close()  # its entry has to be claimed from it
    names = [row["name"] for row in await client.xinfo_consumers(spec.stream, spec.group)]
    assert names == [b"other"]


async def test_a_group_that_is_gone_is_made_again_and_nothing_is_lost(
    client: Redis, spec: RedisInput
) -> None:
    async with opened(RedisSource(spec)) as source:
        await add(client, spec, *"abcdef")
        taken = await take(source, 4)
        await source.settle([taken[0], taken[2], taken[3]])
        assert (await source.lag()).records == 3  # b, e, f
        await client.xgroup_destroy(spec.stream, spec.group)
        assert "".join(await values_until_quiet(source)) == "bcdef"
        await client.delete(spec.stream)
        assert await values_until_quiet(source, 0.3) == []
        await add(client, spec, "g")
        assert await values_until_quiet(source, 0.3) == ["g"]


async def test_lag_and_the_age_of_the_oldest(client: Redis, spec: RedisInput) -> None:
    async with opened(RedisSource(spec)) as source:
        assert (await source.lag()).records == 0
        assert (await source.lag()).oldest_ms is None
        ids = await add(client, spec, "a", "b", "c")
        times = [int(id_.partition("-")[0]) for id_ in ids]
        assert ((lag := await source.lag()).records, lag.oldest_ms) == (3, times[0])
        taken = await take(source, 2)
        await source.settle(taken[:1])
        assert ((lag := await source.lag()).records, lag.oldest_ms) == (2, times[1])


async def test_a_server_that_restarts(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, "--appendonly", "yes", "--appendfsync", "always")
    server.start()
    spec = RedisInput(url=server.url, stream="s", group="g", min_idle_s=0.3)
    sink = RedisSink(RedisOutput(url=server.url, stream="s"))
    source = RedisSource(spec)
    try:
        await source.open(nobody)
        await sink.write([result(n) for n in range(10)])
        taken = await take(source, 5)
        server.kill()
        for call in (source.poll(5, 0.1), source.settle(taken), sink.write([result(11)])):
            with pytest.raises(StreamError) as caught:
                await call
            assert caught.value.retryable
            assert "'s'" in caught.value.message
        await source.release(taken)  # raises nothing
        server.start()
        await source.settle(taken)
        rest = await take(source, 5)
        await source.settle(rest)
        assert {record.value for record in [*taken, *rest]} == {b"%d" % n for n in range(10)}
        await take_nothing(source)
    finally:
        await source.close()
        await sink.close()
        server.kill()


async def test_rights_that_are_taken_away_are_no_reason_to_wait(own_server: RedisServer) -> None:
    admin: Redis = Redis.from_url(own_server.url)
    await admin.execute_command("ACL", "SETUSER", "reader", "on", ">secret-word", "~*", "+@all")
    url = own_server.url.replace("redis://", "redis://reader:secret-word@")
    async with opened(RedisSource(RedisInput(url=url, stream="s", group="g"))) as source:
        await source.poll(1, 0.01)
        await admin.execute_command("ACL", "SETUSER", "reader", "-xreadgroup")
        await refused(source.poll(1, 0.01), "reader", "permission")
        await admin.execute_command("ACL", "SETUSER", "reader", "resetpass", ">other")
        await admin.execute_command("CLIENT", "KILL", "USER", "reader")
        with pytest.raises(StreamError):  # the connection that was killed
            await source.poll(1, 0.01)
        await refused(source.poll(1, 0.01), "reader", "password")
    await admin.aclose()


async def refused(call: Any, user: str, says: str) -> None:
    with pytest.raises(StreamError, match=says) as caught:
        await call
    assert not caught.value.retryable
    assert "secret-word" not in caught.value.message
    assert "PENSTOCK_REDIS_PASSWORD" in caught.value.message


async def test_a_key_that_is_no_stream(client: Redis, spec: RedisInput) -> None:
    await client.set(spec.stream, "text")
    source = RedisSource(spec)
    with pytest.raises(StreamError, match=r"WRONGTYPE.*check that the key is a stream") as caught:
        await source.open(nobody)
    assert not caught.value.retryable
    await source.close()


def test_user_and_password_may_come_from_the_environment() -> None:
    environ = {"PENSTOCK_REDIS_USERNAME": "ann", "PENSTOCK_REDIS_PASSWORD": "secret"}
    address = redis_address("redis://h/0", environ)
    assert (address.username, address.password) == ("ann", "secret")
    assert redis_address("redis://bob:own@h/0", environ).username == "bob"


@pytest.mark.parametrize(
    ("url", "got"), [("sqlite:///a.db", "'sqlite'"), ("reds://h", "'reds'"), ("/abc", "none")]
)
def test_a_store_that_is_no_broker_is_not_offered(url: str, got: str) -> None:
    with pytest.raises(ConfigError) as caught:
        redis_address(url)
    expected = "url: the scheme must be one of redis://, rediss://, unix://; got "
    assert caught.value.message == expected + got
    with pytest.raises(ConfigError, match=r"^url: the database must be a number"):
        redis_address("redis://h/x")


async def test_an_entry_without_the_field_says_so(client: Redis, spec: RedisInput) -> None:
    await client.xadd(spec.stream, {"body": "a", "when": "now"})
    await client.xadd(spec.stream, {"value": ""})
    async with opened(RedisSource(spec)) as source:
        lacking, empty = await take(source, 2)
        assert lacking.no_value.startswith("the entry has no field 'value', but body, when")
        assert "source.field" in lacking.no_value
        assert (empty.value, empty.no_value) == (b"", "")


async def test_a_database_that_is_not_there_is_named(
    spec: RedisInput, caplog: pytest.LogCaptureFixture
) -> None:
    url = spec.url.rpartition("/")[0] + "/99"
    source = RedisSource(RedisInput(url=url, stream="s", group="g"))
    with pytest.raises(StreamError, match="out of range; correct the number of the database"):
        await source.open(nobody)
    await source.close()
    assert not caplog.records  # there was no group


async def test_a_server_that_asks_for_a_password(own_server: RedisServer) -> None:
    admin: Redis = Redis.from_url(own_server.url)
    await admin.config_set("requirepass", "secret-word")
    source = RedisSource(RedisInput(url=own_server.url, stream="s", group="g"))
    with pytest.raises(StreamError, match=r"Authentication required; check the user's rights"):
        await source.open(nobody)
    await source.close()
    await admin.aclose()


async def test_the_window_of_a_sink(client: Redis, spec: RedisInput) -> None:
    sink = RedisSink(RedisOutput(url=spec.url, stream=spec.stream, window_s=0.2))
    one, two = result(1), result(2)
    await sink.write([one])
    await sink.write([one, two])
    assert await client.xlen(spec.stream) == 2
    await asyncio.sleep(0.3)
    await sink.write([one])
    assert await client.xlen(spec.stream) == 3  # it came again behind the window
    assert await client.pttl(ids_key(spec.stream)) <= 200
    await sink.close()


async def test_a_sink_may_be_kept_short(client: Redis, spec: RedisInput) -> None:
    sink = RedisSink(RedisOutput(url=spec.url, stream=spec.stream, max_len=100))
    for start in range(0, 2000, 500):
        await sink.write([result(n) for n in range(start, start + 500)])
    assert 100 <= await client.xlen(spec.stream) <= 250
    await sink.close()


async def test_exactly_once_has_one_effect_whoever_comes_first(
    client: Redis, spec: RedisInput
) -> None:
    output = RedisOutput(url=spec.url, stream=f"{spec.stream}.out")
    async with opened(RedisSource(spec)) as slow, opened(RedisSource(spec)) as quick:
        await add(client, spec, "a", "b", "c")
        first = list(await slow.poll(3, 1))
        second = await take(quick, 3)  # the slow one gave no sign of life
        sinks = [RedisExactlyOnce(source, spec, output) for source in (slow, quick)]
        assert await sinks[1].write_and_settle(answers(second[:2]), second)
        assert await sinks[0].write_and_settle(answers(first), first)
        entries = await client.xrange(output.stream)
        assert [fields[b"value"] for _, fields in entries] == [b"A", b"B"]
        assert (await client.xpending(spec.stream, spec.group))["pending"] == 0
        for sink in sinks:
            await sink.close()


def answers(records: list[Record]) -> list[Produced]:
    return [Produced(record.position, record.value.upper(), None, {}, record) for record in records]
