"""rebuild_counters: aggregates made anew from what they were counted from."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from penstock.stores.backend import Backend, Increment, Item


async def rebuild_counters(
    backend: Backend,
    *,
    items: str,
    counters: str,
    increments_of: Callable[[Item], Iterable[Increment]],
) -> int:
    """Count again, from stored items, what their increments counted when they were written.

    Law: where nothing else writes meanwhile, the counters equal those counted all along of the
    items that are there (what expired is forgotten, and what was counted by hand too).

    Args:
        backend: the store.
        items: the prefix of the items to count.
        counters: the prefix of the counters; they are cleared first.
        increments_of: what one item counts; its keys begin with ``counters``.

    Returns:
        how many items were counted.

    Raises:
        StoreError: the store failed; run it again.
    """
    await backend.clear(counters)
    counted: set[str] = set()
    async for page in backend.scan(items):
        fresh = {item.key: item for item in page if item.key not in counted}
        counted.update(fresh)  # a scan may show an item twice
        increments = _summed(i for item in fresh.values() for i in increments_of(item))
        await backend.increment(increments)
    return len(counted)


def _summed(increments: Iterable[Increment]) -> list[Increment]:
    """One increment per counter."""
    sums: dict[tuple[str, str], int] = {}
    for key, field, amount in increments:
        sums[key, field] = sums.get((key, field), 0) + amount
    return [Increment(key, field, amount) for (key, field), amount in sums.items()]
