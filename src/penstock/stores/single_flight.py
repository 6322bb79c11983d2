"""SingleFlight: whoever asks for a key that is under way waits for it instead of computing it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from penstock.stores.backend import Item
from penstock.stores.flight import Flight, Landing, Lookup

Compute = Callable[[Sequence[int]], Awaitable[Sequence["bytes | Exception | None"]]]
"""Positions of missing keys to, for each, its value; an Exception for those who asked for that
key, never stored; or None: nothing to keep, and nothing to share."""


class _Request(NamedTuple):
    """What one request brings: where each key stands in it, and how to compute."""

    positions: Mapping[str, int]
    compute: Compute
    ttl_s: float | None


class SingleFlight:
    """Looks keys up and computes what is missing, each key once at a time.

    Args:
        look_up: values of keys, None where there is none; one round trip, never raises.
        keep: is given what was computed, and the seconds until it expires.
        counts: keys by outcome; ``hit``, ``miss`` and ``shared`` are counted up.

    Concurrency: one event loop's thread. No task is made: who asks first computes, in its own
    task, and ends its own flights before it waits for those of others.
    """

    def __init__(
        self,
        look_up: Callable[[Sequence[str]], Awaitable[list[bytes | None]]],
        keep: Callable[[Iterable[Item], float | None], None],
        counts: dict[str, int],
    ) -> None:
        self._look_up = look_up
        self._keep = keep
        self._counts = counts
        self._flights: dict[str, Flight] = {}

    async def get_or_compute(
        self, keys: Sequence[str], compute: Compute, ttl_s: float | None
    ) -> list[Lookup]:
        """See ``PredictionStore.get_or_compute``."""
        positions: dict[str, int] = {}
        for position, key in enumerate(keys):
            positions.setdefault(key, position)
        request = _Request(positions, compute, ttl_s)
        lookups: dict[str, Lookup] = {}
        wanted: Iterable[str] = positions
        while wanted:
            own: dict[str, Flight] = {}
            joined: dict[str, Flight] = {}
            for key in wanted:
                flight = self._flights.get(key)
                if flight is None:
                    own[key] = self._flights[key] = Flight()
                else:
                    joined[key] = flight
            if own:
                await self._fly(own, request)
                for key, flight in own.items():
                    lookups[key] = flight.lookup
            wanted = ()
            if joined:
                wanted, alone = await self._join(joined, lookups)
                if alone:
                    lookups.update(await self._compute(alone, request))
        return [lookups[key] for key in keys]

    async def _fly(self, own: Mapping[str, Flight], request: _Request) -> None:
        """Land every flight of ours: with what is kept, else with what is computed."""
        landing = Landing.ABANDONED
        try:
            found = await self._look_up(list(own))
            missing = []
            for (key, flight), value in zip(own.items(), found, strict=True):
                if value is None:
                    missing.append(key)
                else:
                    del self._flights[key]
                    flight.land(Lookup(value, True))
            self._counts["hit"] += len(own) - len(missing)
            if missing:
                for key, lookup in (await self._compute(missing, request)).items():
                    if lookup.value is not None:
                        del self._flights[key]
                        own[key].land(lookup)
            landing = Landing.FAILED  # what is still under way has nothing to share
        except asyncio.CancelledError:
            raise
        except BaseException:
            landing = Landing.FAILED
            raise
        finally:
            for key, flight in own.items():
                if flight.landing is Landing.UNDER_WAY:
                    del self._flights[key]
                    flight.end(landing)

    async def _compute(self, missing: Sequence[str], request: _Request) -> dict[str, Lookup]:
        """Compute keys and keep what comes of it."""
        self._counts["miss"] += len(missing)
        values = await request.compute([request.positions[key] for key in missing])
        pairs = list(zip(missing, values, strict=True))
        items = [Item(key, value) for key, value in pairs if isinstance(value, bytes)]
        self._keep(items, request.ttl_s)
        return {key: Lookup(value, False) for key, value in pairs}

    async def _join(
        self, joined: Mapping[str, Flight], lookups: dict[str, Lookup]
    ) -> tuple[list[str], list[str]]:
        """Wait for others' flights: which keys to ask for again, and which to compute alone."""
        again, alone = [], []
        for key, flight in joined.items():
            await flight.wait()
            if flight.landing is Landing.LANDED:
                lookups[key] = flight.lookup
                self._counts["hit" if flight.lookup.hit else "shared"] += 1
            elif flight.landing is Landing.FAILED:
                alone.append(key)
            else:
                again.append(key)
        return again, alone
