"""STREAM.yaml: what it may say, and what it is told where it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.core.errors import ConfigError
from penstock.jobs.stream.open_broker import open_doors
from penstock.jobs.stream.source import ExactlyOnce
from penstock.jobs.stream.spec import StreamSpec, read_stream
from penstock.jobs.stream.spec_brokers import NatsOutput
from penstock.jobs.stream.spec_redis import RedisInput, RedisOutput

SMALL = """
name: tweets
source: {broker: redis, stream: tweets, group: sentiment}
model: {path: models, name: tweet-sentiment}
sink: {broker: redis, stream: sentiment}
dead_letters: {broker: redis, stream: tweets.dead}
"""


def read(text: str) -> StreamSpec:
    return read_stream(text.encode(), "stream.yaml")


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text)
    return caught.value.message


def test_a_small_one_and_its_defaults() -> None:
    spec = read(SMALL)
    assert spec.source == RedisInput(stream="tweets", group="sentiment")
    assert spec.sink == RedisOutput(stream="sentiment")
    assert spec.model.name == "tweet-sentiment"
    assert (spec.micro_batch.max_records, spec.in_flight, spec.delivery) == (
        256, 4, "at_least_once",
    )  # fmt: skip
    assert spec.max_bytes == 64 * 1024 * 1024


def test_a_large_one() -> None:
    spec = read(
        SMALL
        + """
columns: {text: body, x: [a, b]}
keep: [id]
rename: {label: sentiment}
decode: own.py:read
encode: own.py:write
micro_batch: {max_records: 32, max_delay_s: 0.002}
in_flight: 2
max_bytes: 8MiB
on_error: {poison: stop, max_attempts: 3, stop_after: 0}
delivery: exactly_once
metrics: {port: 9105}
"""
    )
    assert spec.columns == {"text": "body", "x": ("a", "b")}
    assert spec.max_bytes == 8 * 1024 * 1024
    assert spec.metrics is not None
    assert spec.metrics.host == "127.0.0.1"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("name: tweets\n", "", "$.name: missing, expected text that is not empty"),
        ("sink: {broker: redis, stream: sentiment}\n", "",
         "$.sink: missing, expected a mapping such as {broker: redis, stream: sentiments}"),
        ("sink: {", "snik: {", "$.snik: unknown field, did you mean 'sink'?"),
        ("source: {", "sources: {", "$.sources: unknown field, did you mean 'source'?"),
        ("dead_letters: {", "deadletters: {", "did you mean 'dead_letters'?"),
        ("name: tweets\n", "nmae: tweets\n", "$.nmae: unknown field, did you mean 'name'?"),
        ("broker: redis, stream: tweets, g", "broker: reids, g",
         "$.source.broker: unknown, got text 'reids'; did you mean 'redis'?"),
        ("{broker: redis, stream: sentiment}", "{stream: a}",
         "$.sink.broker: missing; expected one of"),
        ("{broker: redis, stream: sentiment}", "redis", "$.sink: expected a mapping"),
        ("stream: tweets, group", "steam: tweets, group",
         "$.source.steam: unknown field, did you mean 'stream'?"),
        ("group: sentiment", "start: earliest", "$.source.group: missing, expected text"),
        ("group: sentiment", "group: g, start: now",
         "$.source.start: expected 'earliest' or 'latest', got text 'now'"),
        ("dead_letters: {broker: redis, stream: tweets.dead}\n", "",
         "$.dead_letters: missing: say where records go"),
        ("{path: models, name: tweet-sentiment}", "{name: a}", "$.model: expected either"),
        ("{path: models, name: tweet-sentiment}", "{path: a, nmae: b}", "$.model.nmae"),
        ("name: tweets\n", "name: tweets\nin_flight: 0\n", "$.in_flight: expected"),
        ("name: tweets\n", "name: tweets\nmax_bytes: many\n", "$.max_bytes: expected a size"),
        ("name: tweets\n", "name: tweets\non_error: {poison: eat}\n", "$.on_error.poison"),
        ("name: tweets\n", "name: tweets\ncolumns: {text: 5}\n", "$.columns.text"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_by_its_place(old: str, new: str, says: str) -> None:
    assert old in SMALL
    text = refused(SMALL.replace(old, new))
    assert text.startswith("stream.yaml: ")
    assert says in text


def test_no_mapping_at_all() -> None:
    assert "expected a mapping" in refused("- 1")


def test_records_may_be_dropped_without_a_place_for_dead_letters() -> None:
    text = SMALL.replace("dead_letters: {broker: redis, stream: tweets.dead}\n", "")
    assert read(text + "on_error: {poison: drop}\n").dead_letters is None


def test_passwords_are_not_shown() -> None:
    spec = read(SMALL.replace("stream: tweets,", "stream: tweets, url: 'redis://me:secret@h/0',"))
    assert "secret" not in repr(spec)


async def test_exactly_once_is_there_where_source_and_sink_are_one(tmp_path: Path) -> None:
    doors = open_doors(read(SMALL + "delivery: exactly_once\n"))
    assert isinstance(doors.sink, ExactlyOnce)
    other = SMALL.replace("stream: sentiment}", "stream: sentiment, url: 'redis://other/0'}")
    with pytest.raises(ConfigError, match="needs source and sink in one database of one Redis"):
        open_doors(read(other + "delivery: exactly_once\n"))
    nats = SMALL.replace(
        "sink: {broker: redis, stream: sentiment}",
        "sink: {broker: nats, subject: a, url: 'nats://h'}",
    )
    assert isinstance(read(nats).sink, NatsOutput)
    with pytest.raises(ConfigError, match="from Kafka to Kafka and from Redis to Redis only"):
        open_doors(read(nats + "delivery: exactly_once\n"))


def test_a_wrong_url_is_told_before_anything_runs() -> None:
    with pytest.raises(ConfigError, match="the scheme must be one of"):
        open_doors(read(SMALL.replace("stream: tweets,", "stream: tweets, url: 'memory://',")))


def test_a_stream_says_no_size_of_batches() -> None:
    told = refused(SMALL.replace("tweet-sentiment}", "tweet-sentiment, max_batch_size: 8}"))
    assert told == (
        "stream.yaml: $.model.max_batch_size: of batch jobs only: records of a stream are merged "
        "as the model's model.yaml says; leave it out"
    )
