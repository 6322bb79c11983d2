"""PredictionStore: predictions that need not be computed twice, on any Backend.

Law: a store that is down, slow or talks nonsense is a miss. It never fails a prediction, and
costs it at most ``timeout_s``, a few times, until the circuit breaker opens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial
from hashlib import blake2b

import msgspec

from penstock.core.clock import Clock, SystemClock
from penstock.core.errors import StoreError
from penstock.stores.backend import Backend, Item
from penstock.stores.breaker import BreakerOptions
from penstock.stores.flight import Lookup
from penstock.stores.guard import Guard
from penstock.stores.single_flight import Compute, SingleFlight
from penstock.stores.write_behind import Sleep, WriteBehind
from penstock.telemetry.store_stats import StoreStats

__all__ = [
    "Compute",
    "Lookup",
    "PredictionStore",
    "PredictionStoreOptions",
    "prediction_key",
    "prediction_prefix",
]

_DAY_S = 86_400.0
_DIGEST_BYTES = 16


class PredictionStoreOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How predictions are kept.

    Attributes:
        ttl_s: seconds until a prediction expires; None: never.
        timeout_s: the longest a lookup may take, in seconds.
        write_timeout_s: the longest the background write of a batch may take, in seconds.
        drain_timeout_s: how long writes may take when the store is closed, in seconds.
        max_pending_items: items that may wait to be written; more are dropped and counted.
        max_pending_bytes: their bytes.
        breaker: when a failing store is left alone.
    """

    ttl_s: float | None = 60 * _DAY_S
    timeout_s: float = 0.05
    write_timeout_s: float = 2.0
    drain_timeout_s: float = 5.0
    max_pending_items: int = 10_000
    max_pending_bytes: int = 64 * 1024 * 1024
    breaker: BreakerOptions = BreakerOptions()


def prediction_prefix(model: str, version: int | None = None, *, kind: str = "p") -> str:
    """What every key of a model, or of one version of it, begins with.

    ``kind`` keeps apart what is kept for different uses: ``p`` predictions, ``r`` whole responses.
    """
    name = model.replace("%", "%25").replace(":", "%3A")
    return f"{kind}:{name}:" if version is None else f"{kind}:{name}:{version}:"


def prediction_key(model: str, version: int, canonical_input: bytes, *, kind: str = "p") -> str:
    """The key of one prediction: ``p:<model>:<version>:<128 bits of BLAKE2b, in hex>``.

    Law: it holds the model, its version and the canonical input, and nothing of the request.

    Args:
        model: the model's name; ``:`` and ``%`` in it are escaped.
        version: its version.
        canonical_input: the same bytes for the same question, whoever asks.
        kind: see ``prediction_prefix``.
    """
    digest = blake2b(canonical_input, digest_size=_DIGEST_BYTES).hexdigest()
    return prediction_prefix(model, version, kind=kind) + digest


class PredictionStore:
    """Looks predictions up, computes what is missing once, and writes it in the background.

    Args:
        backend: where they are kept; closed with this store.
        options: time-outs, bounds, expiry.
        name: which store this is, in metrics and logs.
        clock: the time.
        sleep: how a pause is made while draining.

    Attributes:
        backend: where they are kept.
        stats: what was asked and how it went.

    Concurrency: one event loop's thread.
    """

    def __init__(
        self,
        backend: Backend,
        options: PredictionStoreOptions | None = None,
        *,
        name: str = "predictions",
        clock: Clock | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        options = options or PredictionStoreOptions()
        clock = clock or SystemClock()
        self.backend = backend
        self.stats = StoreStats(name)
        guard = partial(Guard, options=options.breaker, stats=self.stats, clock=clock)
        self._reads = guard("read", timeout_s=options.timeout_s)
        self._writes = WriteBehind(
            backend,
            guard("write", timeout_s=options.write_timeout_s),
            self.stats,
            ttl_s=options.ttl_s,
            max_items=options.max_pending_items,
            max_bytes=options.max_pending_bytes,
            sleep=sleep,
        )
        self._drain_timeout_s = options.drain_timeout_s
        self._single_flight = SingleFlight(self.get, self.put, self.stats.lookups)

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """What is kept under the keys, in their order; None: nothing, or the store fails.

        What waits to be written is found too. One round trip; never raises.
        """
        waiting = self._writes.get
        values = [waiting(key) for key in keys]
        missing = [index for index, value in enumerate(values) if value is None]
        if missing:
            wanted = keys if len(missing) == len(keys) else [keys[index] for index in missing]
            try:
                found = await self._reads.call(partial(self.backend.get_many, wanted))
            except StoreError:
                return values
            for index, value in zip(missing, found, strict=True):
                values[index] = value
        return values

    async def get_or_compute(
        self, keys: Sequence[str], compute: Compute, *, ttl_s: float | None = None
    ) -> list[Lookup]:
        """What is kept under the keys, computing what is not.

        Laws: all keys are looked up in one round trip; ``compute`` is called once, with the
        positions that are missing and that nobody else is computing; a key that others compute
        is waited for. If their computation raises, is cancelled, or has nothing to share, this
        request asks its own ``compute``: nobody else's error, deadline or cancellation is ours.

        Args:
            keys: what to look up; may repeat, and a key that repeats is computed once.
            compute: positions in ``keys`` to results, in that order; see ``Compute``.
            ttl_s: seconds until what is computed expires; None: as the options say.

        Returns:
            one Lookup per key, in order.

        Raises:
            whatever ``compute`` raises.
        """
        return await self._single_flight.get_or_compute(keys, compute, ttl_s)

    def put(self, items: Iterable[Item], ttl_s: float | None = None) -> None:
        """Write items in the background, where they are not there yet, with their increments.

        Never blocks, never raises: what does not fit the bounds is dropped and counted. An item
        counts its increments once, however often it is put, until it expires. ``ttl_s``: seconds
        until that; None: as the options say.
        """
        self._writes.put(items, ttl_s)

    async def drain(self, timeout_s: float) -> int:
        """Write what waits; how many items could not be written in ``timeout_s`` seconds."""
        return await self._writes.drain(timeout_s)

    async def close(self) -> None:
        """Drain, then close the backend; what is put afterwards is dropped and counted."""
        await self._writes.close(self._drain_timeout_s)
        await self.backend.close()
