"""Models loaded on demand, under any interleaving of requests, loads, failures, files and time.

Laws: what is held and promised never exceeds the budget; no model is unloaded under a request or
within its minimum time; a model is loaded once for all who wait; every request has an outcome,
and one that gives up disturbs none; what cannot be had is not tried for each request; a size that
was guessed refuses nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from penstock.core.errors import LoadFailed, PenstockError
from penstock.core.ids import ServableId
from penstock.core.messages import InferRequest
from penstock.core.resources import ResourceEstimate
from penstock.core.source import AspiredModel, AspiredVersion
from penstock.core.status import VersionState, VersionStatus
from penstock.lifecycle.handle import ServableHandle
from penstock.lifecycle.harness import LoadOptions
from penstock.lifecycle.manager import Manager, ManagerOptions
from penstock.lifecycle.on_demand import OnDemand, OnDemandOptions
from penstock.repository.manifest import Queue
from penstock.testing.fake_clock import FakeClock
from penstock.testing.fake_loader import FakeServable, PuppetLoader

SIZES = {"a": 10, "b": 10, "c": 20, "d": 30, "e": 10, "f": 1, "kept": 10}
GUESSES = {"c": 10, "e": 400, "f": 60}
"""What other models suggest beyond that."""
BUDGET = 50
ROOM_WAIT_S = 4.0

names = st.sampled_from([name for name in SIZES if name != "kept"])
turns = st.sampled_from([20, 3, 1, 0])
pulls = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([True, True, True, False])), min_size=1, max_size=4
)


class GuessingPuppet(PuppetLoader):
    """Knows a part of its size, and guesses the rest."""

    def __init__(self, servable: FakeServable, own_bytes: int, guessed_bytes: int) -> None:
        super().__init__(servable)
        self._estimate = ResourceEstimate(own_bytes + guessed_bytes, guessed_bytes)

    def estimate(self) -> ResourceEstimate:
        return self._estimate


class OnDemandMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock()
        self.loaders: dict[str, list[PuppetLoader]] = {}
        self.asking: list[asyncio.Task[ServableHandle]] = []
        self.leases: list[ServableHandle] = []
        self.ready_since_s: dict[str, float] = {}
        self.wrong: list[str] = []
        self.is_told_anew = False

    @initialize(min_loaded_s=st.sampled_from([0.0, 1.0]), max_loads=st.integers(1, 3))
    def start(self, min_loaded_s: float, max_loads: int) -> None:
        self.min_loaded_s = min_loaded_s
        self.manager = Manager(
            options=ManagerOptions(
                max_concurrent_loads=max_loads,
                load=LoadOptions(max_attempts=1),
                memory_budget_bytes=BUDGET,
                min_loaded_s=min_loaded_s,
                close_grace_s=0,
            ),
            clock=self.clock,
            available=lambda: ResourceEstimate(10**9),
            on_change=self._watch,
            sleep=self.clock.sleep,
        )
        options = OnDemandOptions(room_wait_s=ROOM_WAIT_S)
        self.on_demand = OnDemand(
            self.manager, options, lambda _: Queue(), self.clock, self.clock.sleep
        )
        self._run(self._tell())
        self._pull("kept")

    # What may happen

    @rule(wanted=st.lists(names, min_size=1, max_size=4), turns=turns)
    def ask(self, wanted: list[str], turns: int) -> None:
        """Requests come."""

        async def work() -> None:
            for name in wanted:
                request = InferRequest(name, ())
                self.asking.append(asyncio.create_task(self.on_demand.fetch(request)))

        self._run(work())
        self._turn(turns)

    @rule(picks=st.lists(st.integers(0, 9), max_size=3), turns=turns)
    def end(self, picks: list[int], turns: int) -> None:
        """Requests end, or give up while they wait."""

        async def work() -> None:
            self._collect()
            for pick in picks:
                if pick < len(self.leases):
                    self.leases.pop(pick).release()
                elif pick - len(self.leases) < len(self.asking):
                    self.asking.pop(pick - len(self.leases)).cancel()

        self._run(work())
        self._turn(turns)

    @rule(pulls=pulls, turns=turns)
    def pull(self, pulls: list[tuple[int, bool]], turns: int) -> None:
        """Loads and unloads that wait come to their end."""
        for pick, is_good in pulls:
            self._turn()
            waiting = [one for one in self._all() if _is_waiting(one)]
            if waiting:
                _end(waiting[pick % len(waiting)], is_good)
        self._turn(turns)

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0]), turns=turns)
    def time_passes(self, seconds: float, turns: int) -> None:
        self.clock.advance(seconds)
        self._turn(turns)

    @rule(name=names, turns=turns)
    def files_change(self, name: str, turns: int) -> None:
        """A new revision takes the place of the old one, which goes for it whoever is young."""
        self.loaders.setdefault(name, []).append(self._puppet(name))
        self.is_told_anew = True
        self._run(self._tell())
        self._turn(turns)

    # What must hold

    @invariant()
    def nothing_went_wrong(self) -> None:
        assert self.wrong == []
        assert [one.violations for one in self._all() if one.violations] == []

    @invariant()
    def the_budget_holds(self) -> None:
        taken = [one for one in self._all() if one.is_loaded or one.loading.is_set()]
        assert (
            sum(e.ram_bytes - e.guessed_bytes for e in (one.estimate() for one in taken)) <= BUDGET
        )
        assert not hasattr(self, "manager") or self.manager.held_bytes <= BUDGET

    @invariant()
    def what_is_lent_is_loaded(self) -> None:
        owners = {id(one.servable): one for one in self._all()}
        for handle in self.leases:
            owner = owners[id(handle.servable)]
            assert owner.is_loaded
            assert not owner.unloading.is_set()

    @invariant()
    def nobody_who_gave_up_is_waited_for(self) -> None:
        if not self.asking and hasattr(self, "on_demand"):
            self._turn(2)
            assert self.on_demand.num_waiting == 0

    # The end

    def teardown(self) -> None:
        try:
            if hasattr(self, "manager"):
                self._finish()
        finally:
            self.loop.close()

    def _finish(self) -> None:
        """With every string pulled, every lease back and time, every request has its outcome."""
        for _ in range(60):
            self._run(self._settle_requests())
            for one in self._all():
                if _is_waiting(one):
                    _end(one, True)
            self.clock.advance(1)
            self._turn()
        self._run(self._settle_requests())
        assert self.asking == []
        assert self.on_demand.num_waiting == 0
        self.nothing_went_wrong()
        self._run(self._close())
        assert not any(one.is_loaded for one in self._all())
        assert self.manager.held_bytes == 0

    async def _settle_requests(self) -> None:
        self._collect()
        while self.leases:
            self.leases.pop().release()

    async def _close(self) -> None:
        closing = asyncio.create_task(self.manager.aclose(30))
        while not closing.done():
            for one in self._all():
                if _is_waiting(one):
                    _end(one, True)
            await asyncio.sleep(0)
        await closing

    # How the test looks and acts

    async def _tell(self) -> None:
        told = []
        for name in SIZES:
            made = self.loaders.setdefault(name, [])
            if not made:
                made.append(self._puppet(name))
            version = AspiredVersion(ServableId(name, 1), str(len(made)), loader=made[-1])
            told.append(AspiredModel(name, (version,), on_demand=name != "kept"))
        self.manager.set_aspired(told)

    def _puppet(self, name: str) -> PuppetLoader:
        return GuessingPuppet(FakeServable(), SIZES[name], GUESSES.get(name, 0))

    def _pull(self, name: str) -> None:
        self._turn()
        self.loaders[name][-1].finish_load()
        self._turn()

    def _watch(self, row: VersionStatus) -> None:
        now_s = self.clock.monotonic_ns() / 1e9
        if row.state is VersionState.READY:
            self.ready_since_s[row.id.name] = now_s
        if row.state is not VersionState.UNLOADING or self.manager._is_closing:
            return
        if row.id.name == "kept":
            self.wrong.append("a model that is kept loaded was unloaded")
        owners = {id(one.servable) for one in self.loaders[row.id.name]}
        if not self.is_told_anew and any(id(one.servable) in owners for one in self.leases):
            self.wrong.append(f"{row.id} was unloaded under a request")
        young = now_s - self.ready_since_s[row.id.name] < self.min_loaded_s - 1e-6
        if young and not self.is_told_anew:
            self.wrong.append(f"{row.id} was unloaded within its minimum time")

    def _collect(self) -> None:
        """Take the outcomes that are there."""
        for task in [one for one in self.asking if one.done()]:
            self.asking.remove(task)
            error = task.exception()
            if error is None:
                self.leases.append(task.result())
            else:
                assert isinstance(error, PenstockError)
                is_refusal = "'f' version 1 needs" in error.message  # tiny, but for guesses
                if is_refusal and isinstance(error, LoadFailed):
                    self.wrong.append(f"refused for a guess: {error.message}")

    def _all(self) -> list[PuppetLoader]:
        return [one for made in self.loaders.values() for one in made]

    def _turn(self, times: int = 20) -> None:
        async def work() -> None:
            for _ in range(times):
                await asyncio.sleep(0)

        self._run(work())

    def _run(self, work: Coroutine[Any, Any, object]) -> None:
        self.loop.run_until_complete(work)


def _is_waiting(puppet: PuppetLoader) -> bool:
    return puppet.loading.is_set() or puppet.unloading.is_set()


def _end(puppet: PuppetLoader, is_good: bool) -> None:
    if puppet.unloading.is_set():
        puppet.finish_unload()
    elif is_good:
        puppet.finish_load()
    else:
        puppet.fail_load()


TestOnDemand = OnDemandMachine.TestCase
TestOnDemand.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
