"""PostgresControlStore: the control store of many machines, in a PostgreSQL database."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import asyncpg
import msgspec

from penstock.core.errors import StoreError, StoreFault
from penstock.stores import postgres_control_statements as sql
from penstock.stores.continuity import Continuity
from penstock.stores.control_store import Change, Outcome, ServingProcess, Standing, Wish
from penstock.stores.postgres_link import PostgresLink, Transaction
from penstock.stores.postgres_url import PostgresUrl

_NAME = "the control store"
"""In errors, which clients read: no address."""


class PostgresControlStore:
    """A ``ControlStore`` in a schema of a PostgreSQL database, 10 or later.

    Times are the server's. Tables that were emptied or replaced, or that lack confirmed changes (a
    restored backup, a failover to a server that was behind), are refused from then on, see
    ``Continuity``.

    Args:
        url: where it is.
        is_new: whether the first call makes schema and tables where there are none; False: that
            is an error.

    Concurrency: on the event loop that uses it. The constructor connects to nothing; no call takes
    longer than two seconds. One that breaks while it writes may have written.
    """

    def __init__(self, url: PostgresUrl, *, is_new: bool = False) -> None:
        self._schema = url.schema
        self._link = PostgresLink(url, _NAME, self._begin)
        self._continuity = Continuity(_NAME, is_new=is_new)

    async def change(self, wish: Wish, expected: int | None = None) -> int | None:
        """See ``ControlStore.change``."""
        value = msgspec.json.encode(wish.value).decode()

        async def work(db: asyncpg.Connection) -> int | None:
            async with Transaction(db):
                self._check(await db.fetchrow(sql.LOCK))
                # a statement of its own: it sees what was committed while the lock was waited for
                last = await db.fetchval(sql.LAST, wish.subject)
                if expected not in (None, last):
                    return None
                row = (wish.subject, value, _text(wish.who), _text(wish.why), wish.undoes)
                number: int = await db.fetchval(sql.CHANGE, *row)
                await db.execute(sql.PRUNE, number - sql.KEPT_CHANGES)
                return number

        revision = await self._link.run(work)
        self._continuity.saw(revision or 0)
        return revision

    async def desired(self, after: int = 0) -> list[Change]:
        """See ``ControlStore.desired``."""

        async def work(db: asyncpg.Connection) -> list[Change]:
            self._check(await db.fetchrow(sql.STATE))
            return [_change(row) for row in await db.fetch(sql.DESIRED, after)]

        return await self._link.run(work)

    async def history(self, subject: str = "", limit: int = 100) -> list[Change]:
        """See ``ControlStore.history``."""
        rows = await self._fetch(sql.HISTORY, subject, limit)
        return [_change(row) for row in rows]

    async def version(self) -> int:
        """See ``ControlStore.version``. Also after writes of our own."""

        async def work(db: asyncpg.Connection) -> int:
            return self._check(await db.fetchrow(sql.STATE))

        return await self._link.run(work)

    async def attempt(self, process_id: str, subject: str, revision: int) -> None:
        """See ``ControlStore.attempt``."""
        await self._fetch(sql.ATTEMPT, process_id, subject, revision)

    async def abandoned(self, process_id: str) -> list[tuple[str, int]]:
        """See ``ControlStore.abandoned``."""
        rows = await self._fetch(sql.ABANDONED, process_id)
        return [(subject, revision) for subject, revision in rows]

    async def report(self, process: ServingProcess, outcomes: Sequence[Outcome] = ()) -> None:
        """See ``ControlStore.report``."""
        if not outcomes and await self._fetch(sql.SEEN, process.id):
            return  # news to nobody
        me = (process.id, process.number, process.pid, process.host)

        async def work(db: asyncpg.Connection) -> None:
            async with Transaction(db):
                await db.execute(sql.NEWS)
                await db.execute(sql.CAME, *me)
                for one in outcomes:
                    row = (one.subject, one.revision, one.error, _text(one.message))
                    await db.execute(sql.OUTCOME, process.id, *row)
                    await db.execute(sql.ENDED, process.id, one.subject, one.revision)
                for (gone,) in await db.fetch(sql.LONG_GONE):
                    await _forget(db, gone)

        await self._link.run(work)

    async def leave(self, process_id: str) -> None:
        """See ``ControlStore.leave``."""

        async def work(db: asyncpg.Connection) -> None:
            async with Transaction(db):
                await db.execute(sql.NEWS)
                await _forget(db, process_id)

        await self._link.run(work)

    async def standings(self, subject: str, live_s: float) -> list[Standing]:
        """See ``ControlStore.standings``."""
        return [
            Standing(ServingProcess(one, number, pid, host), Outcome(subject, *outcome))
            for one, number, pid, host, *outcome in await self._fetch(
                sql.STANDINGS, subject, int(live_s * 1000)
            )
        ]

    async def publish(self, process_id: str, subject: str, value: bytes) -> None:
        """See ``ControlStore.publish``. What is too old goes with the first of a process."""

        async def work(db: asyncpg.Connection) -> None:
            row = (process_id, subject, value)
            if not await db.fetch(sql.PUBLISH_AGAIN, *row):
                await db.execute(sql.PUBLISH_FIRST, *row)
                await db.execute(sql.FORGET_TOLD)

        await self._link.run(work)

    async def published(self, subject: str) -> dict[str, bytes]:
        """See ``ControlStore.published``."""
        return dict(await self._fetch(sql.PUBLISHED, subject))

    async def acquire(self, lease: str, holder: str, ttl_s: float) -> bool:
        """See ``ControlStore.acquire``."""
        return bool(await self._fetch(sql.ACQUIRE, lease, holder, int(ttl_s * 1000)))

    async def release(self, lease: str, holder: str) -> None:
        """See ``ControlStore.release``."""
        await self._fetch(sql.RELEASE, lease, holder)

    async def close(self) -> None:
        """See ``ControlStore.close``."""
        await self._link.close()

    async def _fetch(self, statement: str, *arguments: str | int) -> list[asyncpg.Record]:
        async def work(db: asyncpg.Connection) -> list[asyncpg.Record]:
            rows: list[asyncpg.Record] = await db.fetch(statement, *arguments)
            return rows

        return await self._link.run(work)

    async def _begin(self, db: asyncpg.Connection) -> None:
        """Make the tables where there are none and it may; see that they are those we know."""
        if self._continuity.may_make and not await db.fetchval(sql.IS_THERE):
            async with Transaction(db):
                await db.execute(sql.LOCK_MAKING)
                if not await db.fetchval(sql.HAS_SCHEMA, self._schema):
                    await db.execute(f'CREATE SCHEMA "{self._schema}"')
                await db.execute(sql.TABLES)
                await db.execute(sql.MAKE_STATE, uuid.uuid4().hex, sql.FORMAT)
        has_state = await db.fetchval(sql.IS_THERE)
        self._check(await db.fetchrow(sql.STATE) if has_state else None)

    def _check(self, row: asyncpg.Record | None) -> int:
        """Look at the row of ``state``; its version."""
        identity, kind, revision, version = row or ("", sql.FORMAT, 0, 0)
        if kind != sql.FORMAT:
            raise StoreError(
                f"{_NAME} is not one of this version of Penstock", fault=StoreFault.REFUSED
            )
        seen = self._continuity.revision  # one call at a time: nothing overtakes this answer
        self._continuity.check(identity, revision, seen)
        return int(version)


async def _forget(db: asyncpg.Connection, process_id: str) -> None:
    for statement in sql.FORGET:
        await db.execute(statement, process_id)


def _change(row: asyncpg.Record) -> Change:
    revision, subject, value, who, why, at_ms, undoes = row
    try:
        decoded = msgspec.json.decode(value)
    except msgspec.DecodeError as err:
        text = f"{_NAME}: revision {revision} cannot be read"
        raise StoreError(text, fault=StoreFault.GARBAGE) from err
    return Change(revision, subject, decoded, who, why, at_ms, undoes)


def _text(said: str) -> str:
    """Text as PostgreSQL can keep it."""
    return said.replace("\0", "\N{REPLACEMENT CHARACTER}")
