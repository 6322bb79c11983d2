"""PostgresLink: one connection to a PostgreSQL server, and the driver's errors as ours."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import asyncpg

from penstock.core.errors import StoreError, StoreFault
from penstock.stores.connection_fault import connection_fault
from penstock.stores.postgres_url import PostgresUrl

T = TypeVar("T")

_TIMEOUT_S = 2.0
_CONNECT_TIMEOUT_S = 1.5
_STATEMENT_PART = 0.75
"""Less than ours: a server that can says itself that it took too long, and has done nothing."""

_IDLE_IN_TRANSACTION_MS = 3000
"""A process that stops in the middle of a change holds up nobody else for longer."""

_FULL = frozenset({"53100", "53200"})
_LOGIN = frozenset({"28", "3D"})
_READ_ONLY = "25006"
_LOST = ("08", "57P")
_FAULTS = {
    "08": StoreFault.UNAVAILABLE,
    "25": StoreFault.REFUSED,
    "40": StoreFault.BUSY,
    "53": StoreFault.UNAVAILABLE,
    "55": StoreFault.LOCKED,
    "57": StoreFault.UNAVAILABLE,
}
"""By the first two characters of an SQLSTATE."""


class PostgresLink:
    """One connection, used by one call at a time.

    Connects with the first call, and with the next one after a failure. Nothing is tried twice.

    Args:
        url: where the database is.
        name: what errors call it.
        begin: what is done with each new connection before it is used.
        timeout_s: what a call may take, the wait for those before it included, in seconds.

    Concurrency: the event loop's thread only. A call that takes longer loses the connection, and
    what it had begun.
    """

    def __init__(
        self,
        url: PostgresUrl,
        name: str,
        begin: Callable[[asyncpg.Connection], Awaitable[None]],
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        self._url = url
        self._name = name
        self._begin = begin
        self._timeout_s = timeout_s
        self._turn = asyncio.Lock()
        self._db: asyncpg.Connection | None = None
        self._is_closed = False

    async def run(self, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """Do ``work`` with the connection.

        Raises:
            StoreError: PostgreSQL refused, or could not be asked.
        """
        with self._translated():
            async with asyncio.timeout(self._timeout_s), self._turn:
                if self._is_closed:
                    raise StoreError(f"{self._name} is closed", fault=StoreFault.CLOSED)
                is_sound = False
                try:
                    answer = await work(await self._connection())
                    is_sound = True
                except (asyncpg.PostgresError, StoreError) as err:
                    is_sound = _leaves_sound(err)
                    raise
                finally:  # where it was called off, too: it may be in the middle of an answer
                    if not is_sound:
                        self._drop()
                return answer

    async def close(self) -> None:
        """Let go of the connection; once more is no error."""
        self._is_closed = True
        db, self._db = self._db, None
        if db is not None and not db.is_closed():
            try:
                await db.close(timeout=_TIMEOUT_S)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                db.terminate()

    async def _connection(self) -> asyncpg.Connection:
        if self._db is None or self._db.is_closed():
            db = await self._connect()
            with ExitStack() as undo:
                undo.callback(db.terminate)
                await self._begin(db)
                undo.pop_all()
            self._db = db
        return self._db

    async def _connect(self) -> asyncpg.Connection:
        url = self._url
        return await asyncpg.connect(
            url.dsn,
            host=url.host,
            port=url.port,
            user=url.username or None,
            password=url.password or None,
            database=url.database,
            timeout=_CONNECT_TIMEOUT_S,
            server_settings={
                "application_name": "penstock",
                "search_path": url.schema,
                "statement_timeout": str(round(_STATEMENT_PART * self._timeout_s * 1000)),
                "idle_in_transaction_session_timeout": str(_IDLE_IN_TRANSACTION_MS),
            },
        )

    def _drop(self) -> None:
        """End the connection without a word: the server may be past hearing one."""
        if self._db is not None:
            self._db.terminate()
            self._db = None

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn the driver's errors into ours."""
        try:
            yield
        except asyncpg.QueryCanceledError as err:
            raise self._error("does not answer in time", StoreFault.TIMEOUT) from err
        except asyncpg.PostgresError as err:
            raise self._error(self._said(err), _fault(err)) from err
        except TimeoutError as err:
            raise self._error("does not answer in time", StoreFault.TIMEOUT) from err
        except (OSError, asyncpg.InterfaceError) as err:
            text = connection_fault(err) or self._first_line(err)
            raise self._error(text, StoreFault.UNAVAILABLE) from err
        except asyncpg.InternalClientError as err:  # it heard the server's end while it was idle
            raise self._error("the connection is lost", StoreFault.UNAVAILABLE) from err
        except (ValueError, TypeError, LookupError) as err:
            text = f"answers nonsense: {self._first_line(err)}"
            raise self._error(text, StoreFault.GARBAGE) from err

    def _said(self, err: asyncpg.PostgresError) -> str:
        """What the server says; of a login nothing that names who or what."""
        if (err.sqlstate or "")[:2] in _LOGIN:
            return f"refuses the login (SQLSTATE {err.sqlstate})"
        return self._first_line(err)

    def _error(self, text: str, fault: StoreFault) -> StoreError:
        return StoreError(f"{self._name}: {text}", fault=fault)

    def _first_line(self, err: Exception) -> str:
        """An error's first line, without the password."""
        text = (str(err).splitlines() or [type(err).__name__])[0][:200]
        return text.replace(self._url.password, "***") if self._url.password else text


class Transaction:
    """BEGIN to COMMIT, or ROLLBACK; of READ COMMITTED, whatever the server's default.

    Where the connection is of no use any more nothing is said: it has to be dropped.
    """

    def __init__(self, db: asyncpg.Connection) -> None:
        self._db = db

    async def __aenter__(self) -> None:
        await self._db.execute("BEGIN ISOLATION LEVEL READ COMMITTED")

    async def __aexit__(self, kind: object, err: BaseException | None, traceback: object) -> None:
        if err is None:
            await self._db.execute("COMMIT")
        elif _leaves_sound(err):
            await self._db.execute("ROLLBACK")


def _leaves_sound(err: BaseException) -> bool:
    """Whether a connection can be used after an error: one that the server itself has told, or
    that is ours.

    One that may only be read is left: perhaps another server is the first one now.
    """
    if isinstance(err, asyncpg.PostgresError):
        state = err.sqlstate or ""
        return state != _READ_ONLY and not state.startswith(_LOST)
    return isinstance(err, StoreError)


def _fault(err: asyncpg.PostgresError) -> StoreFault:
    state = err.sqlstate or ""
    return StoreFault.FULL if state in _FULL else _FAULTS.get(state[:2], StoreFault.REFUSED)
