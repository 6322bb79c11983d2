"""Reporter: tells all processes what this one counted, and which versions answer here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, Protocol, TypeAlias

import msgspec

from penstock.core.clock import Clock, SystemClock
from penstock.core.errors import StoreError, StoreFault
from penstock.rollout.book import RoutingBook
from penstock.rollout.report import ProcessReport
from penstock.rollout.state import ModelRouting
from penstock.rollout.subjects import counts_subject
from penstock.router.counts import StageCounts

_log: Final = logging.getLogger("penstock.rollout")


class Versions(NamedTuple):
    """A model's versions in this process.

    Attributes:
        ready: those that answer, ascending.
        failures: why others do not, by number.
    """

    ready: tuple[int, ...] = ()
    failures: Mapping[int, str] = {}


VersionsOf: TypeAlias = "Callable[[str], Versions]"
"""How a model's versions stand in this process now."""


class Publisher(Protocol):
    """Where it is told; a ControlStore."""

    async def publish(self, process_id: str, subject: str, value: bytes) -> None:
        """Keep what a process tells of a subject, in place of what it told before."""
        ...


class ReporterOptions(msgspec.Struct, frozen=True):
    """How a Reporter works.

    Attributes:
        every_s: how often it looks whether there is anything new, in seconds.
        renew_s: what has not changed is told again after this, in seconds: a store forgets what
            is a day old.
    """

    every_s: float = 0.5
    renew_s: float = 3600.0


class Reporter:
    """Publishes a ProcessReport of each model whose requests are counted.

    One report as soon as a stage begins, so that all know what is ready here; a last one of a stage
    that ends with nothing after it; in between whatever has changed. A store that fails is told of
    once, and asked again.

    Args:
        book: of this process.
        store: what the processes share.
        process_id: of this process.
        versions_of: what answers here.
        options: how it works.
        clock: where time comes from.

    Concurrency: the event loop's thread only. The constructor starts nothing.
    """

    def __init__(
        self,
        book: RoutingBook,
        store: Publisher,
        process_id: str,
        versions_of: VersionsOf,
        *,
        options: ReporterOptions | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._book = book
        self._store = store
        self._process_id = process_id
        self._versions_of = versions_of
        self._options = options or ReporterOptions()
        self._clock = clock or SystemClock()
        self._told: dict[str, ProcessReport] = {}
        self._told_ns: dict[str, int] = {}
        self._last: dict[str, StageCounts] = {}
        self._runner: asyncio.Task[None] | None = None
        self._kick = asyncio.Event()
        self._is_broken = False
        book.listen(self._on_change)

    def start(self) -> None:
        """Begin to report."""
        if self._runner is None:
            self._runner = asyncio.create_task(self._run(), name="rollout reports")

    async def close(self) -> None:
        """Report for the last time; nothing is raised where the store cannot be asked."""
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.cancel()
            await asyncio.gather(runner, return_exceptions=True)
            await self._look()

    def _on_change(self, name: str, before: ModelRouting | None, now: ModelRouting) -> None:
        del before, now
        if self._book.stage(name) or name in self._told:
            self._kick.set()

    async def _run(self) -> None:
        while True:
            await self._look()
            try:
                async with asyncio.timeout(self._options.every_s):
                    await self._kick.wait()
            except TimeoutError:
                pass
            self._kick.clear()

    async def _look(self) -> None:
        """Tell what is new of each model, whatever becomes of the others."""
        is_broken = False
        for name in self._book.names():
            try:
                await self._tell(name)
            except StoreError as err:
                if not (self._is_broken or is_broken):
                    _log.error("what is counted here cannot be told to those who decide: %s", err)
                is_broken = True
                if err.fault is StoreFault.TIMEOUT:
                    break  # it would be waited for once for each model
            except Exception:  # noqa: BLE001  # a bug of ours must not end the reports
                if not (self._is_broken or is_broken):
                    _log.exception("what is counted of '%s' cannot be told", name)
                is_broken = True
        if self._is_broken and not is_broken:
            _log.info("what is counted here is told again")
        self._is_broken = is_broken

    async def _tell(self, name: str) -> None:
        counts = self._counts(name)
        if counts is None:
            self._told.pop(name, None)
            return
        versions, now_ns = self._versions_of(name), self._clock.monotonic_ns()
        before = self._told.get(name)
        at_ms = self._clock.wall_ns() // 1_000_000
        report = ProcessReport(at_ms, counts, versions.ready, dict(versions.failures))
        is_old = now_ns - self._told_ns.get(name, now_ns) > self._options.renew_s * 1e9
        if before is not None and not is_old and _same(before, report):
            return
        value = msgspec.msgpack.encode(report)
        await self._store.publish(self._process_id, counts_subject(name), value)
        self._told[name], self._told_ns[name] = report, now_ns
        self._last.pop(name, None)

    def _counts(self, name: str) -> StageCounts | None:
        """What there is to tell of a model; None: nothing."""
        stage, ended = self._book.stage(name), self._book.ended(name)
        if stage:
            self._last.pop(name, None)
            return self._book.counts(name) or StageCounts(stage)
        if ended is not None:
            self._last[name] = ended
        return self._last.get(name)


def _same(one: ProcessReport, other: ProcessReport) -> bool:
    """Whether two reports tell the same, whenever that was."""
    return (one.counts, one.ready, one.failures) == (other.counts, other.ready, other.failures)
