"""RedisSink on a real server: what it writes, and that it writes all of a split or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from redis import Redis

from penstock.core.errors import ConfigError, JobOutputError
from penstock.jobs.batch.sink import BatchSink, Receipt
from penstock.jobs.batch.sinks.open_tables import open_table_sink
from penstock.jobs.batch.spec_tables import RedisOutput
from penstock.stores.open_backend import open_backend
from penstock.stores.prediction_store import PredictionStore, prediction_key
from tests.stores.jobs.places import OTHER, SPLIT, put
from tests.stores.redis_server import RedisServer

ROWS = [{"id": i, "text": f"täxt {i}", "label": i % 3, "scores": [i / 2, 1.0]} for i in range(50)]


@pytest.fixture
def client(redis: RedisServer) -> Iterator[Redis]:
    with Redis.from_url(redis.url) as opened:
        yield opened


def open_sink(server: RedisServer, **fields: Any) -> BatchSink:
    return open_table_sink(RedisOutput(**{"url": server.url, "key": "row:{id}", **fields}))


def test_values_are_json_by_key(redis: RedisServer, client: Redis) -> None:
    sink = open_sink(redis, ttl_s=1000.0)
    sink.begin()
    receipt = put(sink, SPLIT, ROWS)

    assert receipt == Receipt(50)
    assert msgspec.json.decode(client.get("row:7")) == ROWS[7]
    assert 900_000 < client.pttl("row:7") <= 1_000_000
    assert sink.holds(SPLIT, receipt)
    assert not sink.holds(OTHER, receipt)
    assert not sink.holds(SPLIT, Receipt(49))
    sink.finish(b"{}")
    sink.close()


async def test_the_prediction_store_finds_them(redis: RedisServer) -> None:
    class Record(msgspec.Struct, array_like=True):
        label: int
        scores: tuple[float, float]

    sink = open_sink(
        redis,
        key="1:tweet:{id}",
        model="tweet:x",
        version=3,
        columns=("label", "scores"),
        encoding="msgpack",
        ttl_s=None,
    )
    put(sink, SPLIT, ROWS)
    sink.close()

    store = PredictionStore(open_backend(redis.url))
    (value,) = await store.get([prediction_key("tweet:x", 3, b"1:tweet:5")])
    await store.close()

    assert value is not None
    assert msgspec.msgpack.decode(value, type=Record) == Record(2, (2.5, 1.0))


def test_nothing_shows_before_the_commit_nor_after_an_abort(
    redis: RedisServer, client: Redis
) -> None:
    sink = open_sink(redis)
    batch = pa.RecordBatch.from_pylist(ROWS)
    writer = sink.open(SPLIT, batch.schema)
    writer.write(batch)
    assert client.dbsize() == 0

    writer.abort()

    assert client.dbsize() == 0
    assert not sink.holds(SPLIT, Receipt(50))
    sink.close()


def test_a_split_written_again_changes_nothing_and_the_last_row_of_a_key_wins(
    redis: RedisServer, client: Redis
) -> None:
    sink = open_sink(redis)
    twice = [{"id": 1, "label": "first"}, {"id": 2, "label": "two"}, {"id": 1, "label": "last"}]
    put(sink, SPLIT, twice)
    put(sink, SPLIT, twice)

    assert client.dbsize() == 3  # two rows, and the hash of splits
    assert msgspec.json.decode(client.get("row:1")) == {"id": 1, "label": "last"}
    sink.close()


def test_a_server_without_room_keeps_nothing(make_redis: Callable[..., RedisServer]) -> None:
    server = make_redis("--maxmemory", "3mb", "--maxmemory-policy", "noeviction")
    server.start()
    sink = open_sink(server)

    with pytest.raises(JobOutputError, match="is full") as caught:
        put(sink, SPLIT, [{"id": i, "text": "x" * 100_000} for i in range(100)])

    assert caught.value.retryable
    assert not sink.holds(SPLIT, Receipt(100))
    with Redis.from_url(server.url) as client:
        assert client.dbsize() == 0
    sink.close()


def test_a_server_that_dies_is_worth_another_try(redis: RedisServer) -> None:
    sink = open_sink(redis)
    batch = pa.RecordBatch.from_pylist(ROWS)
    writer = sink.open(SPLIT, batch.schema)
    writer.write(batch)
    redis.kill()

    with pytest.raises(JobOutputError) as caught:
        writer.commit()
    assert caught.value.retryable
    writer.abort()
    redis.start()

    assert not sink.holds(SPLIT, Receipt(50))
    assert put(sink, SPLIT, ROWS) == Receipt(50)
    sink.close()


def test_a_wrong_password_is_told_without_it(make_redis: Callable[..., RedisServer]) -> None:
    server = make_redis("--requirepass", "right")
    server.start()
    for url in (server.url, server.url.replace("://", "://:s3cr3t@")):
        sink = open_table_sink(RedisOutput(url=url, key="row:{id}"))
        with pytest.raises(JobOutputError, match="refuses the login") as caught:
            put(sink, SPLIT, ROWS)
        assert not caught.value.retryable
        assert "s3cr3t" not in str(caught.value)
        sink.close()


def test_the_mark_of_a_whole_output(redis: RedisServer, client: Redis) -> None:
    sink = open_sink(redis)
    sink.begin()
    sink.finish(b"all of it")
    (notes,) = client.keys("penstock:parts:*")
    assert client.hgetall(notes) == {b"_SUCCESS": b"all of it"}
    sink.begin()
    assert client.hgetall(notes) == {}
    sink.close()


def test_null_keys_are_refused(redis: RedisServer, client: Redis) -> None:
    sink = open_sink(redis)
    with pytest.raises(JobOutputError, match="column 'id' is null in row 2"):
        put(sink, SPLIT, [{"id": 1}, {"id": 2}, {"id": None}])
    assert client.dbsize() == 0
    sink.close()


def test_fields_that_are_wrong(redis: RedisServer) -> None:
    with pytest.raises(ConfigError, match="expected columns in braces"):
        open_sink(redis, key="row")
    with pytest.raises(ConfigError, match="no column 'nope'"):
        put(open_sink(redis, columns=("nope",)), SPLIT, ROWS)
    with pytest.raises(ConfigError, match="expected redis://"):
        open_table_sink(RedisOutput(url="memory://", key="{id}"))
