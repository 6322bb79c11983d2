"""RedisLink: commands to one Redis server, and the library's errors as ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from penstock.core.errors import StoreError, StoreFault
from penstock.stores.connection_fault import connection_fault
from penstock.stores.store_url import StoreUrl

Command: TypeAlias = tuple[str | bytes | float, ...]

_CONNECT_TIMEOUT_S = 1.0


class RedisLink:
    """One pool of connections, pipelined.

    Connects with the first call, and again by itself after a failure. Nothing is tried twice
    here: whether a failed call may be repeated is the caller's to know.

    Args:
        address: where it is.
        name: what errors call it.
        max_connections: the most connections of this process; calls beyond them wait.
        answer_timeout_s: the longest wait for an answer, and for a free connection.
    """

    def __init__(
        self, address: StoreUrl, name: str, *, max_connections: int, answer_timeout_s: float
    ) -> None:
        self._name = name
        self._password = address.password
        self._client = Redis.from_pool(_pool(address, max_connections, answer_timeout_s))
        self._is_closed = False

    async def call(self, *command: str | bytes | float) -> Any:
        """Send one command.

        Raises:
            StoreError: it failed.
        """
        with self.translated():
            return await self._client.execute_command(*command)  # type: ignore[no-untyped-call]

    async def pipeline(
        self, commands: Sequence[Command], *, transaction: bool = False
    ) -> list[Any]:
        """Send commands together; their replies in order.

        Raises:
            StoreError: one of them failed.
        """
        if not commands:
            return []
        with self.translated():
            async with self._client.pipeline(transaction=transaction) as pipeline:
                for command in commands:
                    pipeline.execute_command(*command)
                replies = await pipeline.execute()
        if not isinstance(replies, list) or len(replies) != len(commands):
            raise self.garbage("a pipeline")
        return replies

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn the library's errors into ours, and those of reading its replies."""
        try:
            if self._is_closed:
                raise StoreError(f"{self._name} is closed", fault=StoreFault.CLOSED)
            yield
        except exceptions.OutOfMemoryError as err:
            raise self._error("is full", StoreFault.FULL) from err
        except (exceptions.TimeoutError, TimeoutError) as err:
            raise self._error("does not answer in time", StoreFault.TIMEOUT) from err
        except (exceptions.ConnectionError, OSError) as err:
            text = connection_fault(err) or self._unreached(err)
            raise self._error(text, StoreFault.UNAVAILABLE) from err
        except exceptions.ResponseError as err:
            raise self._error(self._masked(err), StoreFault.REFUSED) from err
        except (exceptions.RedisError, ValueError, TypeError, AttributeError, LookupError) as err:
            raise self._error(f"answers nonsense: {self._masked(err)}", StoreFault.GARBAGE) from err

    def garbage(self, what: str) -> StoreError:
        """The error of a reply that cannot be one to ``what``."""
        return self._error(f"answers nonsense to {what}", StoreFault.GARBAGE)

    async def close(self) -> None:
        """Let go of the connections; once more is no error."""
        try:
            if not self._is_closed:
                with self.translated():
                    await self._client.aclose()
        finally:
            self._is_closed = True

    def _error(self, text: str, fault: StoreFault) -> StoreError:
        return StoreError(f"{self._name}: {text}", fault=fault)

    def _unreached(self, err: Exception) -> str:
        """What the client says of a connection, unless it names the server's address."""
        text = self._masked(err)
        return "cannot be reached" if " connecting to " in text else text

    def _masked(self, err: Exception) -> str:
        """An error's first line, without the password."""
        text = (str(err).splitlines() or [type(err).__name__])[0][:200]
        return text.replace(self._password, "***") if self._password else text


def _pool(
    address: StoreUrl, max_connections: int, answer_timeout_s: float
) -> BlockingConnectionPool:
    """The pool of one process; connects when first asked."""
    options: dict[str, Any] = {
        "db": address.db,
        "username": address.username or None,
        "password": address.password or None,
        "protocol": 2,
        "socket_connect_timeout": _CONNECT_TIMEOUT_S,
        "socket_timeout": answer_timeout_s,
        "retry": Retry(NoBackoff(), 0),
        "max_connections": max_connections,
        "timeout": answer_timeout_s,
    }
    if address.scheme == "unix":
        return BlockingConnectionPool(
            connection_class=UnixDomainSocketConnection, path=address.path, **options
        )
    options |= {"host": address.host, "port": address.port}
    if address.scheme == "rediss":
        options["connection_class"] = SSLConnection
    return BlockingConnectionPool(**options)
