"""RedisBackend: a store in a Redis server, shared by processes and machines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from penstock.core.errors import StoreError, StoreFault
from penstock.stores.backend import Increment, Item
from penstock.stores.grouped_reads import GroupedReads
from penstock.stores.redis_link import Command, RedisLink
from penstock.stores.store_url import StoreUrl

_ANSWER_TIMEOUT_S = 5.0
_PAGE = 1000

_SET_AND_COUNT = """
local options = {}
if ARGV[2] ~= '' then options = {'PX', ARGV[2]} end
if ARGV[3] == '1' then options[#options + 1] = 'NX' end
if not redis.call('SET', KEYS[1], ARGV[1], unpack(options)) then return 0 end
for i = 2, #KEYS do redis.call('HINCRBY', KEYS[i], ARGV[2 * i], ARGV[2 * i + 1]) end
return 1
"""
"""SET, and the item's increments only if it was set, in one breath."""


class RedisBackend:
    """A ``Backend`` in Redis: one pool of connections, pipelined, never ``KEYS``.

    Connects with the first call, and again by itself after a failure. Nothing is tried twice
    here: whether a failed call may be repeated is the caller's to know.

    Args:
        address: where it is.
        max_connections: the most connections of this process; calls beyond them wait.
    """

    def __init__(self, address: StoreUrl, *, max_connections: int = 8) -> None:
        self._name = str(address)
        self._link = RedisLink(
            address,
            self._name,
            max_connections=max_connections,
            answer_timeout_s=_ANSWER_TIMEOUT_S,
        )
        self._reads = GroupedReads(self._fetch)

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """See ``Backend.get_many``."""
        return await self._reads.get_many(keys) if keys else []

    async def set_many(
        self, items: Sequence[Item], *, ttl_s: float | None = None, only_new: bool = False
    ) -> list[bool]:
        """See ``Backend.set_many``. One pipeline; an item with increments is one Lua script."""
        ttl_ms = None if ttl_s is None else max(1, int(ttl_s * 1000))
        commands = [_set_command(item, ttl_ms, only_new) for item in items]
        return [reply in (True, b"OK", 1) for reply in await self._link.pipeline(commands)]

    async def expire(self, keys: Sequence[str], ttl_s: float | None) -> int:
        """See ``Backend.expire``."""
        unique = list(dict.fromkeys(keys))
        if ttl_s is None:
            there = await self._link.pipeline([("EXISTS", key) for key in unique])
            await self._link.pipeline([("PERSIST", key) for key in unique])
            return _sum(there, self._name)
        ttl_ms = max(1, int(ttl_s * 1000))
        return _sum(await self._link.pipeline([("PEXPIRE", k, ttl_ms) for k in unique]), self._name)

    async def delete(self, keys: Sequence[str]) -> int:
        """See ``Backend.delete``."""
        return _sum([await self._link.call("UNLINK", *keys)], self._name) if keys else 0

    async def clear(self, prefix: str) -> int:
        """See ``Backend.clear``. SCAN and UNLINK, page by page."""
        count = 0
        async for keys in self._keys(prefix, _PAGE):
            count += _sum([await self._link.call("UNLINK", *keys)], self._name)
        return count

    async def scan(self, prefix: str, *, page: int = _PAGE) -> AsyncIterator[list[Item]]:
        """See ``Backend.scan``. In no order."""
        async for keys in self._keys(prefix, page, "TYPE", "string"):
            values = await self._fetch(keys)
            pairs = zip(keys, values, strict=True)
            yield [Item(key.decode(), value) for key, value in pairs if value is not None]

    async def increment(self, increments: Sequence[Increment]) -> None:
        """See ``Backend.increment``. One pipeline, in one transaction."""
        await self._link.pipeline([("HINCRBY", *one) for one in increments], transaction=True)

    async def counters(self, keys: Sequence[str]) -> list[dict[str, int]]:
        """See ``Backend.counters``. One pipeline."""
        replies = await self._link.pipeline([("HGETALL", key) for key in keys])
        with self._link.translated():
            return [{name.decode(): int(n) for name, n in reply.items()} for reply in replies]

    async def ping(self) -> None:
        """See ``Backend.ping``."""
        await self._link.call("PING")

    async def close(self) -> None:
        """See ``Backend.close``."""
        await self._link.close()

    async def _fetch(self, keys: Sequence[str | bytes]) -> list[bytes | None]:
        values = await self._link.call("MGET", *keys)
        if not isinstance(values, list) or len(values) != len(keys):
            raise self._link.garbage("MGET")
        if not all(value is None or type(value) is bytes for value in values):
            raise self._link.garbage("MGET")
        return values

    async def _keys(self, prefix: str, page: int, *kind: str) -> AsyncIterator[list[bytes]]:
        """Keys with this prefix, page by page; ``kind``: more words for SCAN."""
        cursor = 0
        pattern = _escaped(prefix) + "*"
        while True:
            reply = await self._link.call("SCAN", cursor, "MATCH", pattern, "COUNT", page, *kind)
            match reply:
                case [int(cursor), list(keys)] if all(type(key) is bytes for key in keys):
                    if keys:
                        yield keys
                case _:
                    raise self._link.garbage("SCAN")
            if not cursor:
                return


def _set_command(item: Item, ttl_ms: int | None, only_new: bool) -> Command:
    if not item.increments:
        expiry = () if ttl_ms is None else ("PX", ttl_ms)
        return ("SET", item.key, item.value, *expiry, *(("NX",) if only_new else ()))
    keys = [item.key, *(increment.key for increment in item.increments)]
    arguments: list[str | bytes | int] = [
        item.value,
        "" if ttl_ms is None else ttl_ms,
        int(only_new),
    ]
    for increment in item.increments:
        arguments += [increment.field, increment.amount]
    return ("EVAL", _SET_AND_COUNT, len(keys), *keys, *arguments)


def _escaped(prefix: str) -> str:
    """The prefix with every character quoted that means something in a Redis pattern."""
    return "".join(f"\\{char}" if char in "\\*?[]^-" else char for char in prefix)


def _sum(replies: Sequence[Any], name: str) -> int:
    if not all(isinstance(reply, int) for reply in replies):
        raise StoreError(f"{name}: answers nonsense", fault=StoreFault.GARBAGE)
    return sum(replies)
