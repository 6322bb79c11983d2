"""RedisStream: one stream of one Redis server, and the server's refusals as StreamError."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from penstock.core.errors import ConfigError, StoreError, StoreFault, StreamError
from penstock.jobs.stream.broker_fault import broker_fault, is_missing
from penstock.stores.store_url import StoreUrl, parse_store_url

_ANSWER_TIMEOUT_S = 10.0
_CONNECTIONS = 4
_SCHEMES: Final = ("redis", "rediss", "unix")
_PASSING: Final = (
    "READONLY",
    "MISCONF",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "BUSY ",
    "LOADING",
    "NOREPLICAS",
    "UNBLOCKED",
)
"""How a refusal begins that may pass with nothing changed."""


def redis_address(url: str, environ: Mapping[str, str] = os.environ) -> StoreUrl:
    """A server's address, with user and password from the environment where the URL has none.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``, as ``parse_store_url`` reads it.
        environ: has ``PENSTOCK_REDIS_USERNAME`` and ``PENSTOCK_REDIS_PASSWORD``.

    Raises:
        ConfigError: it is another URL, or a wrong one.
    """
    scheme, mark, _ = url.partition("://")
    if not mark or scheme not in _SCHEMES:
        known = ", ".join(f"{one}://" for one in _SCHEMES)
        got = repr(scheme[:20]) if mark else "none"  # may be a part of a password
        raise ConfigError(f"url: the scheme must be one of {known}; got {got}")
    try:
        address = parse_store_url(url)
    except ConfigError as err:
        raise ConfigError(f"url: {err.message.removeprefix('store URL: ')}") from err
    return msgspec.structs.replace(
        address,
        username=address.username or environ.get("PENSTOCK_REDIS_USERNAME", ""),
        password=address.password or environ.get("PENSTOCK_REDIS_PASSWORD", ""),
    )


class RedisStream:
    """Commands about one stream.

    Connects with the first one, and again by itself after a failure.

    Args:
        address: where the server is.
        stream: the stream's key.

    Raises:
        ConfigError: the client library is not installed.
    """

    def __init__(self, address: StoreUrl, stream: str) -> None:
        try:
            from penstock.stores.redis_link import RedisLink
        except ModuleNotFoundError as err:
            raise is_missing("redis", "the Redis client", "redis") from err
        self.name = str(address)
        self.stream = stream
        self._link = RedisLink(
            address,
            self.name,
            max_connections=_CONNECTIONS,
            answer_timeout_s=_ANSWER_TIMEOUT_S,
        )

    async def call(self, *command: str | bytes | float) -> Any:
        """Send one command.

        Raises:
            StreamError: it failed.
        """
        with self._translated():
            return await self._link.call(*command)

    async def script(self, text: str, keys: Sequence[str], *arguments: str | bytes | float) -> Any:
        """Run a script of Lua, which nothing else comes between.

        Raises:
            StreamError: it failed.
        """
        return await self.call("EVAL", text, len(keys), *keys, *arguments)

    async def close(self) -> None:
        """Let go of the connections. Never raises."""
        try:
            await self._link.close()
        except StoreError:
            return

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except StoreError as err:
            raise self._fault(err) from err

    def _fault(self, err: StoreError) -> StreamError:
        said = err.message.removeprefix(f"{self.name}: ")
        if _is_about_us(err):
            remedy = (
                "check the user's rights and password (in the url, or PENSTOCK_REDIS_USERNAME and "
                "PENSTOCK_REDIS_PASSWORD)"
            )
            return broker_fault(self.name, self.stream, said, remedy, retryable=False)
        may_pass = said.startswith(_PASSING) or "NOGROUP" in said  # of a script, in the middle
        if err.fault is StoreFault.REFUSED and not may_pass:
            remedy = _remedy(said)
            return broker_fault(self.name, self.stream, said, remedy, retryable=False)
        if err.fault in (StoreFault.REFUSED, StoreFault.FULL):
            remedy = "look at the server's state (redis-cli INFO) and its log"
        else:
            remedy = "check that the server runs, and that the url leads to it"
        return broker_fault(self.name, self.stream, said, remedy)


def _remedy(said: str) -> str:
    """What to do about a refusal, by what the server says."""
    if "DB index" in said:
        return "correct the number of the database, the last part of the url"
    return "check that the key is a stream, and that the server is Redis 6.2 or newer"


def _is_about_us(err: StoreError) -> bool:
    """Whether the server refuses who we are, or what we may do."""
    from redis import exceptions

    about = (exceptions.AuthenticationError, exceptions.NoPermissionError)
    return isinstance(err.__cause__, about)


def is_no_group(err: StreamError) -> bool:
    """Whether the group is gone, or the stream with it."""
    return "NOGROUP" in err.message
