"""RedisBackend: a store in a Redis server, shared by processes and machines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from penstock.core.errors import StoreError, StoreFault
from penstock.stores.backend import Increment, Item
from penstock.stores.grouped_reads import GroupedReads
from penstock.stores.store_url import StoreUrl

_CONNECT_TIMEOUT_S = 1.0
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
        self._password = address.password
        self._client = Redis.from_pool(_pool(address, max_connections))
        self._reads = GroupedReads(self._fetch)
        self._is_closed = False

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """See ``Backend.get_many``."""
        return await self._reads.get_many(keys) if keys else []

    async def set_many(
        self, items: Sequence[Item], *, ttl_s: float | None = None, only_new: bool = False
    ) -> list[bool]:
        """See ``Backend.set_many``. One pipeline; an item with increments is one Lua script."""
        ttl_ms = None if ttl_s is None else max(1, int(ttl_s * 1000))
        commands = [_set_command(item, ttl_ms, only_new) for item in items]
        return [reply in (True, b"OK", 1) for reply in await self._pipeline(commands)]

    async def expire(self, keys: Sequence[str], ttl_s: float | None) -> int:
        """See ``Backend.expire``."""
        unique = list(dict.fromkeys(keys))
        if ttl_s is None:
            there = await self._pipeline([("EXISTS", key) for key in unique])
            await self._pipeline([("PERSIST", key) for key in unique])
            return _sum(there, self._name)
        ttl_ms = max(1, int(ttl_s * 1000))
        return _sum(await self._pipeline([("PEXPIRE", k, ttl_ms) for k in unique]), self._name)

    async def delete(self, keys: Sequence[str]) -> int:
        """See ``Backend.delete``."""
        return _sum([await self._call("UNLINK", *keys)], self._name) if keys else 0

    async def clear(self, prefix: str) -> int:
        """See ``Backend.clear``. SCAN and UNLINK, page by page."""
        count = 0
        async for keys in self._keys(prefix, _PAGE):
            count += _sum([await self._call("UNLINK", *keys)], self._name)
        return count

    async def scan(self, prefix: str, *, page: int = _PAGE) -> AsyncIterator[list[Item]]:
        """See ``Backend.scan``. In no order."""
        async for keys in self._keys(prefix, page, "TYPE", "string"):
            values = await self._fetch(keys)
            pairs = zip(keys, values, strict=True)
            yield [Item(key.decode(), value) for key, value in pairs if value is not None]

    async def increment(self, increments: Sequence[Increment]) -> None:
        """See ``Backend.increment``. One pipeline, in one transaction."""
        await self._pipeline([("HINCRBY", *one) for one in increments], transaction=True)

    async def counters(self, keys: Sequence[str]) -> list[dict[str, int]]:
        """See ``Backend.counters``. One pipeline."""
        replies = await self._pipeline([("HGETALL", key) for key in keys])
        with self._translated():
            return [{name.decode(): int(n) for name, n in reply.items()} for reply in replies]

    async def ping(self) -> None:
        """See ``Backend.ping``."""
        await self._call("PING")

    async def close(self) -> None:
        """See ``Backend.close``."""
        try:
            if not self._is_closed:
                with self._translated():
                    await self._client.aclose()
        finally:
            self._is_closed = True

    async def _fetch(self, keys: Sequence[str | bytes]) -> list[bytes | None]:
        values = await self._call("MGET", *keys)
        if not isinstance(values, list) or len(values) != len(keys):
            raise self._garbage("MGET")
        if not all(value is None or type(value) is bytes for value in values):
            raise self._garbage("MGET")
        return values

    async def _keys(self, prefix: str, page: int, *kind: str) -> AsyncIterator[list[bytes]]:
        """Keys with this prefix, page by page; ``kind``: more words for SCAN."""
        cursor = 0
        pattern = _escaped(prefix) + "*"
        while True:
            reply = await self._call("SCAN", cursor, "MATCH", pattern, "COUNT", page, *kind)
            match reply:
                case [int(cursor), list(keys)] if all(type(key) is bytes for key in keys):
                    if keys:
                        yield keys
                case _:
                    raise self._garbage("SCAN")
            if not cursor:
                return

    async def _call(self, *command: str | bytes | float) -> Any:
        """Send one command.

        Raises:
            StoreError: it failed.
        """
        with self._translated():
            return await self._client.execute_command(*command)  # type: ignore[no-untyped-call]

    async def _pipeline(
        self, commands: Sequence[tuple[str | bytes | float, ...]], *, transaction: bool = False
    ) -> list[Any]:
        """Send commands together; their replies in order."""
        if not commands:
            return []
        with self._translated():
            async with self._client.pipeline(transaction=transaction) as pipeline:
                for command in commands:
                    pipeline.execute_command(*command)
                replies = await pipeline.execute()
        if not isinstance(replies, list) or len(replies) != len(commands):
            raise self._garbage("a pipeline")
        return replies

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn the library's errors into ours."""
        try:
            if self._is_closed:
                raise StoreError(f"{self._name} is closed", fault=StoreFault.CLOSED)
            yield
        except exceptions.OutOfMemoryError as err:
            raise self._error("is full", StoreFault.FULL) from err
        except exceptions.TimeoutError as err:
            raise self._error("does not answer in time", StoreFault.TIMEOUT) from err
        except (exceptions.ConnectionError, OSError) as err:
            raise self._error(self._masked(err), StoreFault.UNAVAILABLE) from err
        except exceptions.ResponseError as err:
            raise self._error(self._masked(err), StoreFault.REFUSED) from err
        except (exceptions.RedisError, ValueError, TypeError, AttributeError, LookupError) as err:
            raise self._error(f"answers nonsense: {self._masked(err)}", StoreFault.GARBAGE) from err

    def _error(self, text: str, fault: StoreFault) -> StoreError:
        return StoreError(f"{self._name}: {text}", fault=fault)

    def _garbage(self, what: str) -> StoreError:
        return self._error(f"answers nonsense to {what}", StoreFault.GARBAGE)

    def _masked(self, err: Exception) -> str:
        """An error's first line, without the password."""
        text = (str(err).splitlines() or [type(err).__name__])[0][:200]
        return text.replace(self._password, "***") if self._password else text


def _pool(address: StoreUrl, max_connections: int) -> BlockingConnectionPool:
    """The pool of one process; connects when first asked."""
    options: dict[str, Any] = {
        "db": address.db,
        "username": address.username or None,
        "password": address.password or None,
        "protocol": 2,
        "socket_connect_timeout": _CONNECT_TIMEOUT_S,
        "socket_timeout": _ANSWER_TIMEOUT_S,
        "retry": Retry(NoBackoff(), 0),
        "max_connections": max_connections,
        "timeout": _ANSWER_TIMEOUT_S,
    }
    if address.scheme == "unix":
        return BlockingConnectionPool(
            connection_class=UnixDomainSocketConnection, path=address.path, **options
        )
    options |= {"host": address.host, "port": address.port}
    if address.scheme == "rediss":
        options["connection_class"] = SSLConnection
    return BlockingConnectionPool(**options)


def _set_command(item: Item, ttl_ms: int | None, only_new: bool) -> tuple[str | bytes | int, ...]:
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
