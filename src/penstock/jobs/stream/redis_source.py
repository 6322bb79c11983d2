"""RedisSource: a consumer of a group of a Redis stream."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from penstock.core.errors import StreamError
from penstock.jobs.stream.record import Record
from penstock.jobs.stream.redis_client import RedisStream, is_no_group, redis_address
from penstock.jobs.stream.redis_scripts import ACK, CLAIM, KEEP, LAG, LEAVE, RELEASE, texts
from penstock.jobs.stream.source import Lag, OnRevoked
from penstock.jobs.stream.spec_redis import RedisInput

_log: Final = logging.getLogger("penstock.stream")

_KEY_FIELD: Final = b"key"
_PAGE = 1000
_RELEASED_MS = 10**12
"""So long is idle what was given back: anybody claims it at once."""


class RedisSource:
    """A ``StreamSource`` of a Redis stream.

    Entries are read as a consumer of their group with a name of its own, and acknowledged when
    they are settled. While this one lives it says so of all entries it holds; those of a consumer
    that was silent for ``min_idle_s`` are claimed, so a runner that died loses nothing. An entry
    that was delivered twice before is claimed alone: it may be what kills its runners.

    A group that is gone is made again behind the last entry before which all were settled, as far
    as was known when that was last looked at (``lag``): what was settled since then comes again.

    Args:
        spec: which stream and group.
        consumer: this one's name; "": one that nobody else has.

    Raises:
        ConfigError: the URL is wrong, or the client library is not installed.
    """

    def __init__(self, spec: RedisInput, consumer: str = "") -> None:
        self._spec = spec
        self._redis = RedisStream(redis_address(spec.url), spec.stream)
        self._me = consumer or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._value_field = spec.field.encode()
        self._held: dict[str, None] = {}
        self._beginning = "0" if spec.start == "earliest" else "$"
        self._claim_at = self._keep_at = 0.0
        self._is_open = False

    async def open(self, on_revoked: OnRevoked) -> None:
        """Make the group if it is not there. Nothing is revoked here, ever."""
        await self._make_group()
        self._is_open = True

    async def poll(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        """See ``StreamSource.poll``."""
        now = time.monotonic()
        try:
            if now >= self._keep_at:
                self._keep_at = now + self._spec.min_idle_s / 3
                await self._keep()
            if not max_records:
                return ()
            if now >= self._claim_at:
                claimed = await self._claim(min(max_records, _PAGE))
                if claimed:  # there may be more
                    return claimed
                self._claim_at = now + self._spec.min_idle_s / 2
            return await self._read(max_records, min(timeout_s, self._spec.min_idle_s / 3))
        except StreamError as err:
            if not is_no_group(err):
                raise
            _log.warning(
                "%s: the group '%s' of '%s' is gone; it is made again behind entry %s",
                self._redis.name,
                self._spec.group,
                self._spec.stream,
                self._beginning,
            )
            await self._make_group()
            return ()

    async def settle(self, records: Sequence[Record]) -> None:
        """Acknowledge these."""
        for start in range(0, len(records), _PAGE):
            page = records[start : start + _PAGE]
            ids = texts(record.position.encode() for record in page)
            await self._script(ACK, self._spec.group, ids)
        self.forget(records)

    def forget(self, records: Sequence[Record]) -> None:
        """These are acknowledged: their consumer is no longer asked for signs of life."""
        for record in records:
            self._held.pop(record.position, None)

    async def release(self, records: Sequence[Record]) -> None:
        """Let others claim these at once."""
        for start in range(0, len(records), _PAGE):
            ids = [record.position for record in records[start : start + _PAGE]]
            try:
                await self._script(RELEASE, self._spec.group, self._me, _RELEASED_MS, *ids)
            except StreamError as err:
                _log.warning("%s; its entries come again after %g s", err, self._spec.min_idle_s)
                return
        self.forget(records)

    async def lag(self) -> Lag:
        """Entries of the stream that are not acknowledged yet."""
        answer = await self._script(LAG, self._spec.group)
        pending, first, last, lag, following = answer
        self._beginning = _before(first.decode()) if pending else last.decode()
        oldest = first if pending else following
        return Lag(
            None if lag < 0 else lag + pending, _time_ms(oldest.decode()) if oldest else None
        )

    async def close(self) -> None:
        """Leave the group, if nothing is left that is ours."""
        if self._is_open:
            try:
                await self._script(LEAVE, self._spec.group, self._me)
            except StreamError as err:
                _log.warning("%s; the group keeps the name of a consumer that is gone", err)
        await self._redis.close()

    async def _script(self, text: str, *arguments: str | bytes | float) -> Any:
        return await self._redis.script(text, [self._spec.stream], *arguments)

    async def _make_group(self) -> None:
        stream, group = self._spec.stream, self._spec.group
        try:
            await self._redis.call("XGROUP", "CREATE", stream, group, self._beginning, "MKSTREAM")
        except StreamError as err:
            if "BUSYGROUP" not in err.message:
                raise

    async def _keep(self) -> None:
        """Say that this consumer lives, of all it holds."""
        held = list(self._held)
        for start in range(0, len(held), _PAGE):
            page = held[start : start + _PAGE]
            for lost in await self._script(KEEP, self._spec.group, self._me, *page):
                self._held.pop(lost.decode(), None)

    async def _claim(self, max_records: int) -> list[Record]:
        idle_ms = max(1, int(self._spec.min_idle_s * 1000))
        found = await self._script(CLAIM, self._spec.group, self._me, idle_ms, max_records)
        return [
            self._record(id_, dict(zip(fields[::2], fields[1::2], strict=True)), deliveries)
            for id_, fields, deliveries in found
            if id_.decode() not in self._held  # this one lives, and has it
        ]

    async def _read(self, max_records: int, timeout_s: float) -> list[Record]:
        block = ("BLOCK", max(1, int(timeout_s * 1000))) if timeout_s > 0 else ()
        answer = await self._redis.call(
            "XREADGROUP", "GROUP", self._spec.group, self._me, "COUNT", max_records, *block,
            "STREAMS", self._spec.stream, ">",
        )  # fmt: skip
        return [
            self._record(id_, fields, 0)
            for _, entries in answer or ()
            for id_, fields in entries
            if id_ is not None
        ]

    def _record(self, id_: bytes, fields: Mapping[bytes, bytes], deliveries: int) -> Record:
        position = id_.decode()
        self._held[position] = None
        rest = dict(fields)
        value = rest.pop(self._value_field, None)
        key = rest.pop(_KEY_FIELD, None)
        headers = tuple((name.decode("utf-8", "replace"), one) for name, one in rest.items())
        return Record(
            stream=self._spec.stream,
            partition="",
            position=position,
            value=value or b"",
            key=key,
            headers=headers,
            time_ms=_time_ms(position),
            deliveries=deliveries,
            no_value=self._lacking(fields) if value is None else "",
        )

    def _lacking(self, fields: Mapping[bytes, bytes]) -> str:
        there = ", ".join(name.decode("utf-8", "replace") for name in list(fields)[:10])
        return (
            f"the entry has no field '{self._spec.field}', but {there or 'none'}: source.field "
            "names the one that holds the value"
        )


def _time_ms(position: str) -> int:
    return int(position.partition("-")[0])


def _before(position: str) -> str:
    """The id just ahead of another one."""
    ms, _, number = position.partition("-")
    if int(number):
        return f"{ms}-{int(number) - 1}"
    return f"{int(ms) - 1}-{2**64 - 1}" if int(ms) else "0"
