"""RedisSink and RedisExactlyOnce: results are added to a Redis stream, each of them once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from penstock.core.errors import ConfigError
from penstock.jobs.stream.record import Produced, Record
from penstock.jobs.stream.redis_client import RedisStream, redis_address
from penstock.jobs.stream.redis_scripts import ADD, ADD_AND_ACK, texts
from penstock.jobs.stream.redis_source import RedisSource
from penstock.jobs.stream.spec_redis import RedisInput, RedisOutput

_KEY_FIELD: Final = "key"
_PAGE = 1000
"""Results in one script, which holds up everybody else."""


class RedisSink:
    """A ``StreamSink`` that adds to a Redis stream.

    What is sent twice within ``window_s`` is added once: the ids are kept in a sorted set beside
    the stream, about 100 bytes each, and each script adds an entry and its id in one breath.

    Args:
        spec: which stream.

    Raises:
        ConfigError: the URL is wrong, or the client library is not installed.
    """

    def __init__(self, spec: RedisOutput) -> None:
        self._spec = spec
        self._redis = RedisStream(redis_address(spec.url), spec.stream)
        self._keys = [spec.stream, ids_key(spec.stream)]

    async def open(self) -> None:
        """See that the server answers, and lets us."""
        await self._redis.call("XLEN", self._spec.stream)

    async def write(self, results: Sequence[Produced]) -> None:
        """Add those that have not been added."""
        window_ms = max(1, int(self._spec.window_s * 1000))
        for start in range(0, len(results), _PAGE):
            page: list[bytes] = []
            for result in results[start : start + _PAGE]:
                fields = entry_fields(result, self._spec.field)
                page += (bytes.fromhex(result.id.replace("-", "")), b"%d" % len(fields), *fields)
            await self._redis.script(ADD, self._keys, window_ms, self._spec.max_len, texts(page))

    async def close(self) -> None:
        """Leave."""
        await self._redis.close()


class RedisExactlyOnce:
    """``ExactlyOnce`` from a Redis stream to another one of the same server.

    One script adds a result and acknowledges its entry, if nobody has: whoever else has the entry,
    too, by then adds nothing. No ids are kept, and there is no window.

    Args:
        source: of the records.
        spec: the source's.
        output: the stream that is added to.

    Raises:
        ConfigError: the two are not in one database of one server.
    """

    def __init__(self, source: RedisSource, spec: RedisInput, output: RedisOutput) -> None:
        address = redis_address(output.url)
        if str(redis_address(spec.url)) != str(address):
            raise ConfigError(
                "delivery: exactly_once needs source and sink in one database of one Redis, got "
                f"{redis_address(spec.url)} and {address}; at_least_once has one effect, too, "
                "within the sink's window_s"
            )
        self._source = source
        self._spec = output
        self._group = spec.group
        self._redis = RedisStream(address, output.stream)
        self._keys = [spec.stream, output.stream]

    async def open(self) -> None:
        """See that the server answers, and lets us."""
        await self._redis.call("XLEN", self._spec.stream)

    async def write_and_settle(
        self, results: Sequence[Produced], records: Sequence[Record]
    ) -> bool:
        """See ``ExactlyOnce.write_and_settle``; always True: each entry is looked at by itself."""
        by_position = {result.source.position: result for result in results}
        for start in range(0, len(records), _PAGE):
            page: list[bytes] = []
            for record in records[start : start + _PAGE]:
                result = by_position.get(record.position)
                fields = [] if result is None else entry_fields(result, self._spec.field)
                page += (record.position.encode(), b"%d" % len(fields), *fields)
            await self._redis.script(
                ADD_AND_ACK, self._keys, self._group, self._spec.max_len, texts(page)
            )
        self._source.forget(records)
        return True

    async def close(self) -> None:
        """Leave."""
        await self._redis.close()


def entry_fields(result: Produced, field: str) -> list[bytes]:
    """The fields and values of an entry: the value, the key if there is one, the headers."""
    fields = [field.encode(), result.value]
    if result.key is not None:
        fields += (_KEY_FIELD.encode(), result.key)
    for name, value in result.headers.items():
        if name not in (field, _KEY_FIELD):
            fields += (name.encode(), value)
    return fields


def ids_key(stream: str) -> str:
    """Where the ids of results are kept: in the slot of the stream."""
    return f"{stream}:penstock-ids" if "{" in stream else f"{{{stream}}}:penstock-ids"
