"""RedisControlStore: the control store of many machines, in one Redis server."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec

from penstock.core.errors import StoreError, StoreFault
from penstock.stores import redis_control_scripts as lua
from penstock.stores.continuity import Continuity
from penstock.stores.control_store import Change, Outcome, ServingProcess, Standing, Wish
from penstock.stores.redis_link import RedisLink
from penstock.stores.store_url import StoreUrl

T = TypeVar("T")

_NAME = "the control store"
"""In errors, which clients read: no address."""

_TIMEOUT_S = 2.0


class RedisControlStore:
    """A ``ControlStore`` in Redis 5 or later, without a cluster: each call is one Lua script.

    Times are the server's. A server that was emptied, or that has lost confirmed changes (a
    failover, a crash without ``appendfsync always``), is refused from then on, see
    ``Continuity``; so is one that may evict keys for room.

    Args:
        address: where it is.
        is_new: whether the first call makes the store where there is none; False: that is an error.
        max_connections: the most connections of this process; calls beyond them wait.

    Concurrency: on the event loop that uses it. The constructor connects to nothing; no call takes
    longer than two seconds. One that breaks while it writes may have written.
    """

    def __init__(
        self, address: StoreUrl, *, is_new: bool = False, max_connections: int = 8
    ) -> None:
        self._link = RedisLink(
            address, _NAME, max_connections=max_connections, answer_timeout_s=_TIMEOUT_S
        )
        self._continuity = Continuity(_NAME, is_new=is_new)

    async def change(self, wish: Wish, expected: int | None = None) -> int | None:
        """See ``ControlStore.change``."""
        row = msgspec.json.encode((wish.value, wish.who, wish.why, wish.undoes))
        arguments = (wish.subject, "" if expected is None else expected, row, lua.KEPT_CHANGES)
        return await self._run(lua.CHANGE, arguments, int) or None

    async def desired(self, after: int = 0) -> list[Change]:
        """See ``ControlStore.desired``."""
        return await self._run(lua.DESIRED, (after,), _changes)

    async def history(self, subject: str = "", limit: int = 100) -> list[Change]:
        """See ``ControlStore.history``."""
        return await self._run(lua.HISTORY, (subject, limit), _changes)

    async def version(self) -> int:
        """See ``ControlStore.version``. Also after writes of our own."""
        async with self._bounded():
            seen = self._continuity.revision
            reply = await self._link.call("HMGET", lua.STATE, "id", "format", "revision", "version")
            identity, kind, revision, version = reply
            if identity is None and self._continuity.may_make:
                return 0
            self._check(identity or b"", kind, revision or 0, seen)
            return int(version)

    async def attempt(self, process_id: str, subject: str, revision: int) -> None:
        """See ``ControlStore.attempt``."""
        await self._run(lua.ATTEMPT, (process_id, subject, revision), _nothing)

    async def abandoned(self, process_id: str) -> list[tuple[str, int]]:
        """See ``ControlStore.abandoned``."""
        return await self._run(lua.ABANDONED, (process_id,), _attempts)

    async def report(self, process: ServingProcess, outcomes: Sequence[Outcome] = ()) -> None:
        """See ``ControlStore.report``."""
        arguments: list[str | bytes | int] = [process.id, msgspec.json.encode(process)]
        for one in outcomes:
            arguments += [one.subject, one.revision, msgspec.json.encode(one)]
        await self._run(lua.REPORT, arguments, _nothing)

    async def leave(self, process_id: str) -> None:
        """See ``ControlStore.leave``."""
        await self._run(lua.LEAVE, (process_id,), _nothing)

    async def standings(self, subject: str, live_s: float) -> list[Standing]:
        """See ``ControlStore.standings``."""
        arguments = (subject, int(live_s * 1000))
        found = await self._run(lua.STANDINGS, arguments, lambda rows: _standings(subject, rows))
        return sorted(found, key=lambda one: (one.process.number, one.process.id))

    async def publish(self, process_id: str, subject: str, value: bytes) -> None:
        """See ``ControlStore.publish``."""
        await self._run(lua.PUBLISH, (process_id, subject, value), _nothing)

    async def published(self, subject: str) -> dict[str, bytes]:
        """See ``ControlStore.published``."""
        return await self._run(lua.PUBLISHED, (subject,), _published)

    async def acquire(self, lease: str, holder: str, ttl_s: float) -> bool:
        """See ``ControlStore.acquire``."""
        return await self._run(lua.ACQUIRE, (lease, holder, int(ttl_s * 1000)), bool)

    async def release(self, lease: str, holder: str) -> None:
        """See ``ControlStore.release``."""
        await self._run(lua.RELEASE, (lease, holder), _nothing)

    async def close(self) -> None:
        """See ``ControlStore.close``."""
        await self._link.close()

    async def _run(
        self, script: str, arguments: Sequence[str | bytes | int], read: Callable[[Any], T]
    ) -> T:
        """Run a script; what ``read`` makes of its answer."""
        async with self._bounded():
            known, seen = self._continuity.identity, self._continuity.revision
            if not known:
                await self._check_keeps()
            made = uuid.uuid4().hex if self._continuity.may_make else ""
            reply = await self._link.call("EVAL", script, 1, lua.STATE, known, made, *arguments)
            identity, kind, revision, answer = reply
            self._check(identity, kind, revision, seen)
            return read(answer)

    @asynccontextmanager
    async def _bounded(self) -> AsyncIterator[None]:
        with self._link.translated():
            async with asyncio.timeout(_TIMEOUT_S):
                yield

    async def _check_keeps(self) -> None:
        """Refuse a server that gives up keys for others; one that does not tell may do so."""
        try:
            memory = await self._link.call("INFO", "memory")
        except StoreError as err:
            if err.fault is not StoreFault.REFUSED:
                raise
            return
        policy = str(memory.get("maxmemory_policy", ""))
        if policy not in ("", "noeviction") and memory.get("maxmemory"):
            raise StoreError(
                f"{_NAME}: Redis may evict what it keeps (maxmemory-policy {policy}): set it to "
                "noeviction, or use a server of its own",
                fault=StoreFault.REFUSED,
            )

    def _check(self, identity: bytes, kind: bytes | None, revision: Any, seen: int) -> None:
        if identity and kind != b"%d" % lua.FORMAT:
            raise StoreError(
                f"{_NAME} is not one of this version of Penstock", fault=StoreFault.REFUSED
            )
        self._continuity.check(identity.decode(), int(revision), seen)


def _nothing(answer: Any) -> None:
    del answer


def _changes(rows: list[list[bytes]]) -> list[Change]:
    return [_change(int(revision), subject.decode(), row) for revision, subject, row in rows]


def _change(revision: int, subject: str, row: bytes | None) -> Change:
    try:
        at_ms, _, encoded = (row or b"").partition(b" ")
        value, who, why, undoes = msgspec.json.decode(encoded)
        return Change(revision, subject, value, who, why, int(at_ms), undoes)
    except (ValueError, TypeError) as err:  # msgspec's errors are ValueErrors
        text = f"{_NAME}: revision {revision} cannot be read"
        raise StoreError(text, fault=StoreFault.GARBAGE) from err


def _attempts(pairs: list[bytes]) -> list[tuple[str, int]]:
    subjects, revisions = pairs[::2], pairs[1::2]
    found = [(s.decode(), int(at)) for s, at in zip(subjects, revisions, strict=True)]
    return sorted(found, key=lambda one: one[1])


def _standings(subject: str, rows: list[list[bytes | None]]) -> list[Standing]:
    return [
        Standing(
            msgspec.json.decode(process or b"", type=ServingProcess),
            msgspec.json.decode(outcome, type=Outcome) if outcome else Outcome(subject, 0),
        )
        for _, process, outcome in rows
    ]


def _published(rows: list[list[bytes]]) -> dict[str, bytes]:
    return {process.decode(): value for process, value in rows}
