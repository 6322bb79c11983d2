"""What a process does with the shared state: order, follow, take back, go on without a store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from penstock.core.errors import (
    ConfigError,
    InvalidArgument,
    InvalidInput,
    LoadFailed,
    NotReady,
    PenstockError,
    StoreError,
)
from penstock.lifecycle.reconciler import Reconciler, ReconcilerOptions
from penstock.stores.control_store import Change, ControlStore, ServingProcess, Wish
from penstock.stores.sqlite_control_store import SqliteControlStore
from penstock.testing.fake_control_store import FakeControlStore

AT_ONCE = ReconcilerOptions(poll_s=0, report_s=0.001, live_s=60)


class Process:
    """A Reconciler with a diary; what it cannot do is set by hand."""

    def __init__(self, store: ControlStore, number: int = 1) -> None:
        self.diary: list[tuple[str, object]] = []
        self.error: Exception | None = None
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.is_applying = asyncio.Event()
        me = ServingProcess(str(number), number)
        self.reconciler = Reconciler(store, me, self._apply, AT_ONCE)

    async def _apply(self, change: Change) -> None:
        self.is_applying.set()
        await self.may_go_on.wait()
        if self.error is not None and change.value is not None:
            raise self.error
        self.diary.append((change.subject, change.value))

    async def order(self, value: object, subject: str = "model/m") -> None:
        work = self.reconciler.order(subject, lambda _: value, who="REST", why="load")
        await asyncio.wait_for(work, 20)


@asynccontextmanager
async def running(store: FakeControlStore, count: int) -> AsyncIterator[list[Process]]:
    processes = [Process(store, number) for number in range(1, count + 1)]
    for process in processes:
        await process.reconciler.begin()
        await process.reconciler.follow({})
    try:
        yield processes
    finally:
        for process in processes:
            process.may_go_on.set()
            await process.reconciler.close()


@pytest.fixture
def store() -> FakeControlStore:
    return FakeControlStore()


async def test_an_order_is_over_when_all_have_done_it(store: FakeControlStore) -> None:
    async with running(store, 3) as processes:
        processes[2].may_go_on.clear()
        order = asyncio.create_task(processes[0].order("x"))
        await processes[2].is_applying.wait()
        for _ in range(100):
            await asyncio.sleep(0)
        assert not order.done()
        processes[2].may_go_on.set()
        await order
        assert [process.diary for process in processes] == [[("model/m", "x")]] * 3
        (change,) = store.changes
        assert (change.who, change.why) == ("REST", "load")


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (LoadFailed("no memory"), LoadFailed, "no memory"),
        (ConfigError("config: bad"), ConfigError, "config: bad"),
        (InvalidInput(3, "row"), LoadFailed, "row"),
        (ZeroDivisionError(), PenstockError, "internal error; the server's log has more"),
    ],
)
async def test_what_fails_in_one_is_taken_back_in_all(
    store: FakeControlStore, error: Exception, kind: type[PenstockError], text: str
) -> None:
    async with running(store, 2) as (one, two):
        await one.order("good")
        two.error = error
        with pytest.raises(kind) as caught:
            await one.order("bad")
        assert caught.value.message == text
        assert one.diary == [("model/m", value) for value in ("good", "bad", "good")]
        assert two.diary == [("model/m", "good")]  # it had nothing to take back
        assert [(c.value, c.undoes) for c in store.changes] == [
            ("good", 0),
            ("bad", 0),
            ("good", 2),
        ]


async def test_a_first_order_that_fails_leaves_what_was_at_the_start(
    store: FakeControlStore,
) -> None:
    async with running(store, 2) as (one, two):
        two.error = LoadFailed("no")
        with pytest.raises(LoadFailed):
            await one.order("bad")
        assert one.diary == [("model/m", "bad"), ("model/m", None)]
        assert store.changes[-1].value is None


async def test_orders_are_refused_while_the_store_is_broken(store: FakeControlStore) -> None:
    async with running(store, 2) as (one, two):
        store.fault = StoreError("disk full")
        with pytest.raises(StoreError, match="disk full"):
            await one.order("x")
        store.fault = None
        await two.order("y")
        assert one.diary == two.diary == [("model/m", "y")]


async def test_somebody_is_told_whether_the_store_answers(store: FakeControlStore) -> None:
    told: list[bool] = []
    news = asyncio.Event()

    async def apply(change: Change) -> None:
        del change

    def tell(is_up: bool) -> None:
        told.append(is_up)
        news.set()

    reconciler = Reconciler(store, ServingProcess("one", 1), apply, AT_ONCE, tell_up=tell)

    async def all_told(*expected: bool) -> None:
        async with asyncio.timeout(10):
            while told != [*expected]:
                news.clear()
                await news.wait()

    await reconciler.begin()
    await reconciler.follow({})
    assert told == [True]
    store.fault = StoreError("gone")
    await all_told(True, False)
    store.fault = StoreError("gone in another way")
    for _ in range(20):
        await asyncio.sleep(0)
    store.fault = None
    await all_told(True, False, True)
    await reconciler.close()


async def test_a_store_that_breaks_under_an_order_leaves_its_end_unknown(
    store: FakeControlStore,
) -> None:
    async with running(store, 2) as (one, two):
        two.may_go_on.clear()
        order = asyncio.create_task(one.order("x"))
        await two.is_applying.wait()
        store.fault = StoreError("gone")
        with pytest.raises(StoreError):
            await order


async def test_a_process_that_starts_is_not_waited_for_and_takes_up_the_rest(
    store: FakeControlStore,
) -> None:
    async with running(store, 1) as (one,):
        await one.order("x", "model/a")
        late = Process(store, 2)
        begun = await late.reconciler.begin()
        assert [(change.subject, change.value) for change in begun] == [("model/a", "x")]
        await one.order("y", "model/b")
        assert late.diary == []
        await late.reconciler.follow({})
        assert late.diary == [("model/b", "y")]
        late.may_go_on.clear()
        order = asyncio.create_task(one.order("z", "model/b"))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not order.done(), "who follows is waited for"
        late.may_go_on.set()
        await order
        await late.reconciler.close()


async def test_a_process_that_is_gone_is_not_waited_for(store: FakeControlStore) -> None:
    async with running(store, 2) as (one, two):
        two.may_go_on.clear()
        order = asyncio.create_task(one.order("x"))
        await two.is_applying.wait()
        await two.reconciler.close()
        await order


async def test_what_a_start_could_not_do_is_told(store: FakeControlStore) -> None:
    revision = await store.change(Wish("model/m", "x"))
    process = Process(store)
    await process.reconciler.begin()
    await process.reconciler.follow({"model/m": LoadFailed("broken")})
    async with asyncio.timeout(5):
        while True:
            (standing,) = await store.standings("model/m", 60)
            if standing.outcome.revision == revision:
                break
    assert (standing.outcome.error, standing.outcome.message) == ("LoadFailed", "broken")
    assert process.diary == []
    await process.reconciler.close()


async def test_orders_end_with_the_process(store: FakeControlStore) -> None:
    async with running(store, 2) as (one, two):
        two.may_go_on.clear()
        order = asyncio.create_task(one.order("x"))
        await two.is_applying.wait()
        await one.reconciler.close()
        with pytest.raises(NotReady, match="shutting down"):
            await order
        with pytest.raises(NotReady, match="shutting down"):
            await one.order("y")


async def test_a_caller_that_goes_away_leaves_its_order(store: FakeControlStore) -> None:
    async with running(store, 2) as (one, two):
        two.may_go_on.clear()
        order = asyncio.create_task(one.order("x"))
        await two.is_applying.wait()
        order.cancel()
        with pytest.raises(asyncio.CancelledError):
            await order
        two.may_go_on.set()
        await two.order("y", "model/other")
        assert ("model/m", "x") in two.diary


async def test_a_change_of_a_value_is_made_of_the_last_one(store: FakeControlStore) -> None:
    async with running(store, 2) as processes:

        def add(process: Process) -> asyncio.Task[None]:
            work = process.reconciler.order(
                "logs", lambda value: (value or 0) + 1, who="REST", why="count"
            )
            return asyncio.create_task(work)

        await asyncio.gather(*(add(process) for process in processes * 5))
        assert [process.diary[-1] for process in processes] == [("logs", 10)] * 2


async def test_a_change_that_was_taken_back_by_another_is_told(store: FakeControlStore) -> None:
    """A process died of it; the supervisor has taken it back and signed the process off."""
    async with running(store, 2) as (one, two):
        two.may_go_on.clear()
        order = asyncio.create_task(one.order("deadly"))
        await two.is_applying.wait()
        assert await store.abandoned("2") == [("model/m", 1)]
        await store.change(Wish("model/m", None, why="process 2 died", undoes=1), expected=1)
        await two.reconciler.close()
        with pytest.raises(LoadFailed, match="process 2 died"):
            await order


async def test_a_store_that_raises_something_else_does_not_end_the_following(
    store: FakeControlStore, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(store, 2) as (one, two):
        store.fault = ZeroDivisionError()  # type: ignore[assignment]
        for _ in range(100):
            await asyncio.sleep(0)
        store.fault = None
        await one.order("x")
        assert two.diary == [("model/m", "x")]
    assert caplog.text.count("Traceback") == 2, "one for each process"


async def test_many_orders_at_once_are_all_done(tmp_path: Path) -> None:
    real = SqliteControlStore(tmp_path / "control.db", is_new=True)
    process = Process(real)
    await process.reconciler.begin()
    await process.reconciler.follow({})
    work = [process.order("x", f"model/{number}") for number in range(150)]
    await asyncio.gather(*work)
    assert len(process.diary) == 150
    await process.reconciler.close()
    await real.close()


async def test_what_may_not_be_undone_stays_for_those_who_could_follow(
    store: FakeControlStore, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(store, 2) as (one, two):
        await one.order("before", "route/m")
        two.error = InvalidArgument("it cannot be read here")
        with pytest.raises(InvalidArgument, match="cannot be read here"):
            await asyncio.wait_for(
                one.reconciler.order(
                    "route/m", lambda _: "rolled back", who="ann", why="abort", may_undo=False
                ),
                20,
            )
        assert one.diary[-1] == ("route/m", "rolled back")
        assert two.diary == [("route/m", "before")]
        assert [(c.value, c.undoes) for c in store.changes] == [("before", 0), ("rolled back", 0)]
        assert "change 2 of route/m is not followed by process 2" in caplog.text
        assert "change 2 of route/m fails here: it cannot be read here" in caplog.text
        two.error = None
        await one.order("next", "route/m")
        assert one.diary[-1] == two.diary[-1] == ("route/m", "next")
