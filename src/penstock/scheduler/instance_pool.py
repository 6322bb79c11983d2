"""InstancePool: which copies of a model wait for work, and which have what."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from penstock.core.errors import NotReady
from penstock.runtime.instance import Instance
from penstock.scheduler.request_queue import Waiting


class InstancePool:
    """The copies of one model.

    Law: a copy is idle, has a batch, or is down; never two of these. One that is alone may have
    its next batch, too.

    Args:
        instances: the copies; one that died meanwhile is not idle.
        on_change: told when one came back, or when ``fault`` changed.

    Attributes:
        idle: the copies that wait for work; empty: none does.
        fault: why no copy will take work for long; None: one does, or will soon.

    Concurrency: the event loop's thread only.
    """

    def __init__(self, instances: Sequence[Instance], on_change: Callable[[], None]) -> None:
        self.idle = [instance for instance in instances if instance.is_ready]
        self._instances = tuple(instances)
        self.fault = self._common_fault()
        self._executing: dict[Instance, list[list[Waiting]]] = {}
        self._on_change = on_change
        for instance in instances:
            instance.watch(partial(self._changed, instance))

    def __len__(self) -> int:
        """All copies there are."""
        return len(self._instances)

    def take(self) -> Instance:
        """An idle copy, of which there is one; best one that no other process has at work."""
        for index in reversed(range(len(self.idle))):
            if not self.idle[index].is_elsewhere:
                return self.idle.pop(index)
        return self.idle.pop()

    @property
    def num_busy(self) -> int:
        """How many copies have a batch."""
        return len(self._executing)

    def ahead(self) -> Instance | None:
        """A busy copy that may have its next batch now: nobody else could take it; None: none."""
        if len(self._instances) > 1 or self.idle:
            return None
        instance = self._instances[0]
        batches = self._executing.get(instance, ())
        return instance if instance.takes_ahead and len(batches) == 1 else None

    def begin(self, instance: Instance, batch: list[Waiting]) -> None:
        """A copy taken from ``idle``, or the one ``ahead``, has a batch."""
        self._executing.setdefault(instance, []).append(batch)

    def end(self, instance: Instance, batch: list[Waiting]) -> None:
        """A batch of it has its outcome."""
        batches = self._executing[instance]
        batches.remove(batch)
        if batches:
            return
        del self._executing[instance]
        if instance.is_ready:
            self.idle.append(instance)

    def executing(self) -> Iterator[Waiting]:
        """Every request that is being computed."""
        for batches in self._executing.values():
            for batch in batches:
                yield from batch

    def census(self) -> tuple[int, int]:
        """How many copies are up, and how often one has died."""
        copies = self._instances
        return sum(one.is_ready for one in copies), sum(one.deaths for one in copies)

    async def close(self) -> None:
        """Close every copy."""
        await asyncio.gather(*(instance.close() for instance in self._instances))

    def _changed(self, instance: Instance) -> None:
        is_idle = instance in self.idle
        if is_idle and not instance.is_ready:
            self.idle.remove(instance)
        elif not is_idle and instance.is_ready and instance not in self._executing:
            self.idle.append(instance)
        self.fault = self._common_fault()
        self._on_change()

    def _common_fault(self) -> NotReady | None:
        faults = [one.fault for one in self._instances]
        return faults[0] if faults and None not in faults else None
