"""What a process tells of its models: what is new, at once where it matters, and once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from penstock.core.errors import StoreError, StoreFault
from penstock.rollout.book import RoutingBook
from penstock.rollout.report import ProcessReport
from penstock.rollout.reporter import Reporter, ReporterOptions, Versions
from penstock.rollout.state import ModelRouting, Phase
from penstock.router.counts import StageCounts, VariantCounts
from penstock.router.route import Route, Variant
from penstock.testing.fake_clock import FakeClock
from tests.unit.rollout.rollout_plant import Table
from tests.unit.rollout.rollouts import a_routing, a_state

OFTEN = ReporterOptions(every_s=0.001, renew_s=100)


class Board:
    """Takes what is told; may fail."""

    def __init__(self) -> None:
        self.told: list[ProcessReport] = []
        self.fault: StoreError | None = None
        self.num_asked = 0
        self.news = asyncio.Event()

    async def publish(self, process_id: str, subject: str, value: bytes) -> None:
        assert (process_id, subject) == ("p1", "counts/digits")
        self.num_asked += 1
        self.news.set()
        if self.fault is not None:
            raise self.fault
        self.told.append(msgspec.msgpack.decode(value, type=ProcessReport))

    async def wait(self, check: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not check():
                self.news.clear()
                await self.news.wait()


class Reporting:
    """A process that reports."""

    def __init__(self) -> None:
        self.board = Board()
        self.clock = FakeClock()
        self.requests = 0
        self.versions = Versions((1,), {2: "no memory"})
        self.looks = 0
        self.looked = asyncio.Event()
        self.book = RoutingBook(Table(self._count), lambda name, versions: None)
        self.reporter = Reporter(
            self.book, self.board, "p1", self._versions, options=OFTEN, clock=self.clock
        )

    def take(self, phase: Phase) -> None:
        self.book.take("digits", a_routing(a_state(phase)))

    async def look(self) -> None:
        """Wait until it has looked once more, from its beginning."""
        async with asyncio.timeout(10):
            seen = self.looks
            while self.looks < seen + 2:
                self.looked.clear()
                await self.looked.wait()

    def _count(self, route: Route) -> dict[str, VariantCounts]:
        return {"stable": VariantCounts(requests=self.requests)}

    def _versions(self, name: str) -> Versions:
        self.looks += 1
        self.looked.set()
        return self.versions


@pytest.fixture
async def process() -> AsyncIterator[Reporting]:
    reporting = Reporting()
    reporting.reporter.start()
    yield reporting
    await reporting.reporter.close()


async def test_a_stage_is_reported_as_soon_as_it_begins(process: Reporting) -> None:
    process.take(Phase.WARM)
    await process.board.wait(lambda: bool(process.board.told))
    (report,) = process.board.told
    assert report.counts.stage == "digits-1/warm/0"
    assert (report.ready, report.failures) == ((1,), {2: "no memory"})
    assert report.at_ms == process.clock.wall_ns() // 1_000_000


async def test_nothing_new_is_not_told(process: Reporting) -> None:
    process.take(Phase.CANARY)
    await process.board.wait(lambda: bool(process.board.told))
    for _ in range(3):
        await process.look()
    assert len(process.board.told) == 1
    process.requests = 5
    await process.board.wait(lambda: len(process.board.told) == 2)
    assert process.board.told[-1].counts.variants["stable"].requests == 5
    process.versions = Versions((1, 2))
    await process.board.wait(lambda: len(process.board.told) == 3)
    assert process.board.told[-1].ready == (1, 2)


async def test_what_is_old_is_told_again(process: Reporting) -> None:
    process.take(Phase.CANARY)
    await process.board.wait(lambda: bool(process.board.told))
    process.clock.advance(101)
    await process.board.wait(lambda: len(process.board.told) == 2)


async def test_the_last_counts_of_a_stage_with_nothing_after_it(process: Reporting) -> None:
    process.take(Phase.BAKE)
    await process.board.wait(lambda: bool(process.board.told))
    process.requests = 7
    process.take(Phase.DONE)
    await process.board.wait(lambda: len(process.board.told) == 2)
    assert process.board.told[-1].counts == StageCounts(
        "digits-1/bake/0", {"stable": VariantCounts(requests=7)}
    )


async def test_a_model_without_a_stage_is_not_reported(process: Reporting) -> None:
    alone = Route(variants=(Variant(name="stable", version=1, weight=100),))
    process.book.take("digits", ModelRouting(route=alone))
    process.book.take("digits", ModelRouting())
    process.take(Phase.WARM)
    await process.board.wait(lambda: bool(process.board.told))
    assert [report.counts.stage for report in process.board.told] == ["digits-1/warm/0"]


async def test_a_store_that_fails_is_told_of_once_and_asked_again(
    process: Reporting, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "penstock.rollout")
    process.board.fault = StoreError("disk full")
    process.take(Phase.CANARY)
    await process.board.wait(lambda: process.board.num_asked >= 3)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "disk full" in caplog.records[0].getMessage()
    process.board.fault = None
    await process.board.wait(lambda: bool(process.board.told))
    await process.look()
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]


async def test_a_bug_ends_no_reports(process: Reporting, caplog: pytest.LogCaptureFixture) -> None:
    process.versions = None  # type: ignore[assignment]
    process.take(Phase.CANARY)
    await process.look()
    process.versions = Versions((1, 2))
    await process.board.wait(lambda: bool(process.board.told))
    assert len([record for record in caplog.records if record.exc_info]) == 1


async def test_one_model_that_cannot_be_told_keeps_no_other_from_it(
    process: Reporting, caplog: pytest.LogCaptureFixture
) -> None:
    def counts(name: str) -> StageCounts | None:
        if name == "broken":
            raise ValueError("a bug")
        return StageCounts("digits-1/canary/0")

    process.book.counts = counts  # type: ignore[method-assign]
    process.book.take("broken", a_routing(a_state(Phase.CANARY)))
    process.take(Phase.CANARY)
    await process.board.wait(lambda: bool(process.board.told))
    await process.look()
    assert len([record for record in caplog.records if record.exc_info]) == 1


async def test_a_store_that_does_not_answer_is_waited_for_once() -> None:
    process, asked = Reporting(), list[str]()

    async def publish(process_id: str, subject: str, value: bytes) -> None:
        asked.append(subject)
        raise StoreError("no answer", fault=StoreFault.TIMEOUT)

    process.board.publish = publish  # type: ignore[method-assign]
    process.take(Phase.CANARY)
    process.book.take("else", a_routing(a_state(Phase.CANARY)))
    await process.reporter._look()
    assert asked == ["counts/digits"]


async def test_the_last_word_at_the_end() -> None:
    process = Reporting()
    process.reporter.start()
    process.take(Phase.CANARY)
    await process.board.wait(lambda: bool(process.board.told))
    process.requests = 3
    await process.reporter.close()
    assert process.board.told[-1].counts.variants["stable"].requests == 3
    await process.reporter.close()
