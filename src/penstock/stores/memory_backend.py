"""MemoryBackend: a store in this process, bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import NamedTuple

from penstock.core.clock import Clock, SystemClock
from penstock.core.errors import StoreError, StoreFault
from penstock.stores.backend import Increment, Item

DEFAULT_MAX_BYTES = 256 * 1024 * 1024
"""The bound of a store that is given none."""

_OVERHEAD_BYTES = 250
_NEVER_NS = 2**63


class _Entry(NamedTuple):
    value: bytes
    expires_ns: int


class MemoryBackend:
    """A ``Backend`` in memory: the least recently used items make room for new ones.

    Laws: items and counters never hold more than ``max_bytes``, a fixed guess of Python's own
    part included; counters are never evicted: they are refused where they do not fit.

    Args:
        max_bytes: the bound, in bytes.
        clock: what expiry is measured by.

    Attributes:
        num_bytes: what is held now.
        evicted: items that made room for others.

    Concurrency: one event loop's thread; never blocks, never waits.
    """

    def __init__(self, max_bytes: int = DEFAULT_MAX_BYTES, clock: Clock | None = None) -> None:
        self.num_bytes = 0
        self.evicted = 0
        self._max_bytes = max_bytes
        self._now_ns = (clock or SystemClock()).monotonic_ns
        self._items: OrderedDict[str, _Entry] = OrderedDict()
        self._counters: dict[str, dict[str, int]] = {}
        self._counter_bytes = 0
        self._is_closed = False

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """See ``Backend.get_many``."""
        self._check_open()
        now_ns = self._now_ns()
        return [self._get(key, now_ns) for key in keys]

    async def set_many(
        self, items: Sequence[Item], *, ttl_s: float | None = None, only_new: bool = False
    ) -> list[bool]:
        """See ``Backend.set_many``."""
        self._check_open()
        now_ns = self._now_ns()
        expires_ns = _NEVER_NS if ttl_s is None else now_ns + int(ttl_s * 1e9)
        written = []
        for item in items:
            is_there = only_new and self._get(item.key, now_ns) is not None
            written.append(not is_there and self._set(item, expires_ns))
        return written

    async def expire(self, keys: Sequence[str], ttl_s: float | None) -> int:
        """See ``Backend.expire``."""
        self._check_open()
        now_ns = self._now_ns()
        expires_ns = _NEVER_NS if ttl_s is None else now_ns + int(ttl_s * 1e9)
        there = [key for key in dict.fromkeys(keys) if self._get(key, now_ns) is not None]
        for key in there:
            self._items[key] = self._items[key]._replace(expires_ns=expires_ns)
        return len(there)

    async def delete(self, keys: Sequence[str]) -> int:
        """See ``Backend.delete``."""
        self._check_open()
        now_ns = self._now_ns()
        there = [key for key in dict.fromkeys(keys) if self._get(key, now_ns) is not None]
        for key in there:
            self._remove(key)
        return len(there)

    async def clear(self, prefix: str) -> int:
        """See ``Backend.clear``."""
        self._check_open()
        items = [key for key in self._items if key.startswith(prefix)]
        now_ns = self._now_ns()
        live = sum(self._items[key].expires_ns > now_ns for key in items)
        for key in items:
            self._remove(key)
        hashes = [key for key in self._counters if key.startswith(prefix)]
        for key in hashes:
            num_bytes = sum(_size(key, field) for field in self._counters.pop(key))
            self._counter_bytes -= num_bytes
            self.num_bytes -= num_bytes
        return live + len(hashes)

    async def scan(self, prefix: str, *, page: int = 1000) -> AsyncIterator[list[Item]]:
        """See ``Backend.scan``."""
        self._check_open()
        keys = [key for key in self._items if key.startswith(prefix)]
        for start in range(0, len(keys), page):
            now_ns = self._now_ns()
            entries = [(key, self._items.get(key)) for key in keys[start : start + page]]
            yield [Item(k, e.value) for k, e in entries if e is not None and e.expires_ns > now_ns]

    async def increment(self, increments: Sequence[Increment]) -> None:
        """See ``Backend.increment``."""
        self._check_open()
        if not self._make_room(self._growth(increments)):
            raise StoreError(
                f"counters do not fit into {self._max_bytes} bytes", fault=StoreFault.FULL
            )
        self._add(increments)

    async def counters(self, keys: Sequence[str]) -> list[dict[str, int]]:
        """See ``Backend.counters``."""
        self._check_open()
        return [dict(self._counters.get(key, {})) for key in keys]

    async def ping(self) -> None:
        """See ``Backend.ping``."""
        self._check_open()

    async def close(self) -> None:
        """Forget everything."""
        self._is_closed = True
        self._items.clear()
        self._counters.clear()
        self._counter_bytes = self.num_bytes = 0

    def _check_open(self) -> None:
        if self._is_closed:
            raise StoreError("the store is closed", fault=StoreFault.CLOSED)

    def _get(self, key: str, now_ns: int) -> bytes | None:
        entry = self._items.get(key)
        if entry is None:
            return None
        if entry.expires_ns <= now_ns:
            self._remove(key)
            return None
        self._items.move_to_end(key)
        return entry.value

    def _set(self, item: Item, expires_ns: int) -> bool:
        """Keep an item and count its increments; False: both do not fit, and neither is done."""
        if item.key in self._items:
            self._remove(item.key)
        num_bytes = _size(item.key, item.value)
        if not self._make_room(num_bytes + self._growth(item.increments)):
            return False
        self._items[item.key] = _Entry(item.value, expires_ns)
        self.num_bytes += num_bytes
        self._add(item.increments)
        return True

    def _make_room(self, num_bytes: int) -> bool:
        """Evict until so many more bytes fit; False: they never will."""
        if self._counter_bytes + num_bytes > self._max_bytes:
            return False
        while self.num_bytes + num_bytes > self._max_bytes:
            self._remove(next(iter(self._items)))
            self.evicted += 1
        return True

    def _growth(self, increments: Iterable[Increment]) -> int:
        """The bytes that counters will take which are not there yet."""
        new = {(i.key, i.field) for i in increments if i.field not in self._counters.get(i.key, ())}
        return sum(_size(key, field) for key, field in new)

    def _add(self, increments: Iterable[Increment]) -> None:
        for key, field, amount in increments:
            counters = self._counters.setdefault(key, {})
            if field not in counters:
                self._counter_bytes += _size(key, field)
                self.num_bytes += _size(key, field)
            counters[field] = counters.get(field, 0) + amount

    def _remove(self, key: str) -> None:
        self.num_bytes -= _size(key, self._items.pop(key).value)


def _size(key: str, value: bytes | str) -> int:
    """About the bytes of memory an entry takes."""
    return len(key) + len(value) + _OVERHEAD_BYTES
