"""Several processes, changes at the same moment, deaths: they all end with the last change."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.core.errors import LoadFailed, PenstockError
from penstock.lifecycle.reconciler import Reconciler, ReconcilerOptions
from penstock.stores.control_store import Change, ServingProcess
from penstock.testing.fake_control_store import FakeControlStore

AT_ONCE = ReconcilerOptions(poll_s=0, report_s=0.001, live_s=60)
SUBJECTS = ("model/a", "model/b")
NUM_PROCESSES = 3


class Order(NamedTuple):
    """One order: by whom, of what, when, where it fails, and how long it takes in each process."""

    by: int
    subject: str
    after_turns: int
    fails_in: frozenset[int]
    turns: tuple[int, ...]


class Death(NamedTuple):
    """A process is killed, and comes again."""

    of: int
    after_turns: int


places = st.integers(0, NUM_PROCESSES - 1)
orders = st.builds(
    Order,
    by=places,
    subject=st.sampled_from(SUBJECTS),
    after_turns=st.integers(0, 40),
    fails_in=st.one_of(st.just(frozenset()), st.frozensets(places)),
    turns=st.tuples(*[st.integers(0, 30)] * NUM_PROCESSES),
)
deaths = st.builds(Death, of=places, after_turns=st.integers(0, 40))


class Process:
    """What one process holds, and how it makes changes true."""

    def __init__(self, number: int, life: int, store: FakeControlStore, script: list[Order]):
        self.number = number
        self.state: dict[str, Any] = {}
        self.applied: dict[str, int] = {}
        self._script = script
        self.busy: set[str] = set()
        me = ServingProcess(f"{number}-{life}", number)
        self.id = me.id
        self.reconciler = Reconciler(store, me, self.apply, AT_ONCE)

    async def start(self) -> None:
        for change in await self.reconciler.begin():
            if change.value is not None and self.number not in self._of(change).fails_in:
                self.state[change.subject] = change.value
        await self.reconciler.follow({})

    def _of(self, change: Change) -> Order:
        return self._script[change.value]

    async def apply(self, change: Change) -> None:
        assert change.subject not in self.busy, "two changes of one subject at once"
        assert change.revision > self.applied.get(change.subject, 0), "a change that is over"
        self.busy.add(change.subject)
        try:
            if change.value is None:
                self.state.pop(change.subject, None)
                return
            order = self._of(change)
            for _ in range(order.turns[self.number]):
                await asyncio.sleep(0)
            if self.number in order.fails_in:
                raise LoadFailed(f"process {self.number} cannot")
            self.state[change.subject] = change.value
        finally:
            self.busy.discard(change.subject)
            self.applied[change.subject] = change.revision


class World:
    def __init__(self, script: list[Order]) -> None:
        self.store = FakeControlStore()
        self.script = script
        self.lives = 0
        self.processes: list[Process] = []
        self.results: dict[int, PenstockError | None] = {}
        self.dying = [asyncio.Lock() for _ in range(NUM_PROCESSES)]

    async def start(self) -> None:
        self.processes = [self._new(number) for number in range(NUM_PROCESSES)]
        await asyncio.gather(*(process.start() for process in self.processes))

    async def order(self, index: int) -> None:
        order = self.script[index]
        for _ in range(order.after_turns):
            await asyncio.sleep(0)
        try:
            await self.processes[order.by].reconciler.order(
                order.subject, lambda _: index, who="test", why="test"
            )
            self.results[index] = None
        except PenstockError as error:
            self.results[index] = error

    async def kill(self, death: Death) -> None:
        for _ in range(death.after_turns):
            await asyncio.sleep(0)
        async with self.dying[death.of]:
            await self.processes[death.of].reconciler.close()  # as a supervisor does, too: leave
            self.processes[death.of] = self._new(death.of)
            await self.processes[death.of].start()

    async def settle(self) -> None:
        async with asyncio.timeout(10):
            while True:
                desired = await self.store.desired()
                standings = [
                    (one, change.revision)
                    for change in desired
                    for one in await self.store.standings(change.subject, 60)
                ]
                if all(one.outcome.revision == revision for one, revision in standings):
                    return
                await asyncio.sleep(0)

    async def stop(self) -> None:
        for process in self.processes:
            await process.reconciler.close()

    def _new(self, number: int) -> Process:
        self.lives += 1
        return Process(number, self.lives, self.store, self.script)


async def play(script: list[Order], killed: list[Death]) -> World:
    world = World(script)
    await world.start()
    work = [world.order(index) for index in range(len(script))]
    await asyncio.gather(*work, *map(world.kill, killed))
    await world.settle()
    return world


@settings(max_examples=150, deadline=None)
@given(script=st.lists(orders, max_size=6), killed=st.lists(deaths, max_size=2))
def test_all_processes_end_with_the_last_change(script: list[Order], killed: list[Death]) -> None:
    async def check() -> None:
        world = await play(script, killed)
        for change in await world.store.desired():
            for process in world.processes:
                is_refused = (
                    change.value is not None and process.number in script[change.value].fails_in
                )
                if not is_refused:
                    assert process.state.get(change.subject) == change.value
        await world.stop()

    asyncio.run(check())


@settings(max_examples=100, deadline=None)
@given(script=st.lists(orders.filter(lambda one: not one.fails_in), min_size=1, max_size=6))
def test_orders_that_can_be_done_are(script: list[Order]) -> None:
    async def check() -> None:
        world = await play(script, [])
        assert set(world.results.values()) == {None}
        for subject in SUBJECTS:
            ordered = [one for one in world.store.changes if one.subject == subject]
            for process in world.processes:
                last = ordered[-1].value if ordered else None
                assert process.state.get(subject) == last
        await world.stop()

    asyncio.run(check())


@settings(max_examples=100, deadline=None)
@given(script=st.lists(orders, min_size=1, max_size=4))
def test_an_order_alone_is_done_everywhere_or_nowhere(script: list[Order]) -> None:
    async def check() -> None:
        world = World(script)
        await world.start()
        good: dict[str, int] = {}
        for index, order in enumerate(script):
            await world.order(index)
            if order.fails_in:
                assert isinstance(world.results[index], LoadFailed)
            else:
                assert world.results[index] is None
                good[order.subject] = index
            for process in world.processes:
                assert process.state == good
        await world.stop()

    asyncio.run(check())
