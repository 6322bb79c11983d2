"""The Manager under any interleaving of tellings, loads, unloads, leases and time.

Law 2: no version that is ready and aspired is unloaded, and no request gets one that is not
ready while another aspired one is. Law 3: load and unload once per loader, never at the same
time, never outside the table.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from penstock.core.errors import NotReady, PenstockError
from penstock.core.ids import LATEST, ServableId, VersionChoice
from penstock.core.resources import ResourceEstimate
from penstock.core.source import AspiredModel, AspiredVersion
from penstock.core.status import VersionState, VersionStatus
from penstock.lifecycle.handle import ServableHandle
from penstock.lifecycle.harness import LoadOptions
from penstock.lifecycle.manager import Manager, ManagerOptions
from penstock.lifecycle.transition_policy import availability_preserving, resource_preserving
from penstock.testing.fake_clock import FakeClock
from penstock.testing.fake_loader import FakeServable, PuppetLoader

NAMES = ("a", "b")
LOADER_BYTES = 10
_LOG = logging.getLogger("penstock.lifecycle")

versions = st.dictionaries(st.integers(1, 3), st.sampled_from("xy"), min_size=1, max_size=2)
wanted = st.dictionaries(st.sampled_from(NAMES), versions) | st.builds(
    lambda a, b: {"a": a, "b": b}, versions, versions
)
turns = st.sampled_from([20, 3, 1, 0])
pulls = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([True, True, True, False])), min_size=1, max_size=4
)


class _Complaints(logging.Handler):
    """Collects what must never be logged: broken tasks (a breach of the table) and observers."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if "broke" in record.msg or "raised" in record.msg:
            self.texts.append(record.getMessage())


def _end(puppet: PuppetLoader, is_good: bool) -> None:
    if puppet.unloading.is_set():
        puppet.finish_unload()
    elif is_good:
        puppet.finish_load()
    else:
        puppet.fail_load()


class ManagerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock()
        self.loaders: dict[tuple[str, int, str], list[PuppetLoader]] = {}
        self.aspired: set[tuple[str, int, str]] = set()
        self.leases: list[ServableHandle] = []
        self.wrong: list[str] = []
        self.has_served: set[str] = set()
        self.complaints = _Complaints()
        _LOG.addHandler(self.complaints)
        _LOG.propagate = False  # thousands of told failures are no news

    @initialize(
        is_available=st.booleans(),
        max_loads=st.integers(1, 3),
        max_attempts=st.integers(1, 2),
        room=st.integers(2, 12),
    )
    def start(self, is_available: bool, max_loads: int, max_attempts: int, room: int) -> None:
        self.is_available = is_available
        self.max_loads = max_loads
        self.room = room
        self.manager = Manager(
            options=ManagerOptions(
                max_concurrent_loads=max_loads,
                load=LoadOptions(max_attempts=max_attempts),
                transition_policy=availability_preserving if is_available else resource_preserving,
                close_grace_s=0,
            ),
            clock=self.clock,
            available=self._available,
            on_change=self._watch,
            sleep=self.clock.sleep,
        )

    # What may happen. Few rules, and each lets the loop run a little, a lot or not at all:
    # many small rules would seldom come in an order that gets anywhere.

    @rule(models=wanted, is_fresh=st.booleans(), turns=turns)
    def tell(self, models: dict[str, dict[int, str]], is_fresh: bool, turns: int) -> None:
        async def work() -> None:
            told = [self._model(name, versions, is_fresh) for name, versions in models.items()]
            self.aspired = {
                (name, version, revision)
                for name, versions in models.items()
                for version, revision in versions.items()
            }
            self.has_served &= {name for name, _, _ in self.aspired}
            self.manager.set_aspired(told)

        self._run(work())
        self._turn(turns)

    @rule(pulls=pulls, turns=turns)
    def pull(self, pulls: list[tuple[int, bool]], turns: int) -> None:
        """Loads and unloads that wait come to their end."""
        for pick, is_good in pulls:
            self._turn()
            waiting = self._puppets("loading") + self._puppets("unloading")
            if waiting:
                _end(waiting[pick % len(waiting)], is_good)
        self._turn(turns)

    @rule(
        name=st.sampled_from(NAMES), version=st.none() | st.integers(1, 3), back=st.integers(0, 9)
    )
    def use(self, name: str, version: int | None, back: int) -> None:
        """A request comes; every now and then one ends."""
        if back < len(self.leases):
            self.leases.pop(back).release()
        try:
            handle = self.manager.handle(name, VersionChoice(version))
        except PenstockError:
            return
        assert version in (None, handle.id.version)
        self.leases.append(handle)

    @rule(name=st.sampled_from(NAMES), seconds=st.sampled_from([0.0, 0.5, 5.0]), turns=turns)
    def time_passes(self, name: str, seconds: float, turns: int) -> None:
        """Waits between attempts end; with no time gone, somebody asks to try again instead."""

        async def work() -> None:
            self.manager.retry_failed(name)

        if seconds:
            self.clock.advance(seconds)
        else:
            self._run(work())
        self._turn(turns)

    # What must hold

    @invariant()
    def nothing_went_wrong(self) -> None:
        assert self.wrong == []
        assert self.complaints.texts == []
        assert [one.violations for one in self._all() if one.violations] == []

    @invariant()
    def what_is_lent_is_loaded(self) -> None:
        for handle in self.leases:
            loader = self._owner(handle)
            assert loader.is_loaded
            assert not loader.unloading.is_set()

    @invariant()
    def requests_get_what_is_ready(self) -> None:
        """Also when the loop has had no time to run since the last change."""
        for name in NAMES:
            ready = {
                row.id.version
                for row in self._statuses(name)
                if row.state is VersionState.READY
                and (name, row.id.version, row.revision) in self.aspired
            }
            try:
                with self.manager.handle(name, LATEST) as handle:
                    assert self._owner(handle).is_loaded
                    assert handle.id.version == max(self.manager.ready_versions(name))
            except PenstockError:
                assert not ready

    @invariant()
    def a_model_that_served_serves_on(self) -> None:
        """Availability preserving: from its first ready version on, while anything is aspired."""
        if not getattr(self, "is_available", False):
            return
        for name in NAMES:
            if self.manager.ready_versions(name) and any(one[0] == name for one in self.aspired):
                self.has_served.add(name)
            assert name not in self.has_served or self.manager.ready_versions(name)

    @invariant()
    def no_more_loads_than_allowed(self) -> None:
        assert len(self._puppets("loading")) <= getattr(self, "max_loads", 0)

    # The end

    def teardown(self) -> None:
        try:
            if hasattr(self, "manager"):
                self._settle_all()
                self._close()
        finally:
            _LOG.removeHandler(self.complaints)
            _LOG.propagate = True
            self.loop.close()

    def _settle_all(self) -> None:
        """With every string pulled and every lease back, all comes to rest as it should."""
        self._return_leases()
        for _ in range(60):
            self._turn()
            for puppet in self._puppets("loading"):
                puppet.finish_load()
            for puppet in self._puppets("unloading"):
                puppet.finish_unload()
            self.clock.advance(60)
        self._turn()
        self._run(asyncio.wait_for(self.manager.wait_settled(), 5))
        self.nothing_went_wrong()
        for name in NAMES:
            ready = {(name, one) for one in self.manager.ready_versions(name)}
            failed = {(name, row.id.version) for row in self.manager.failures(name)}
            assert {(n, v) for n, v, _ in self.aspired if n == name} <= ready | failed

    def _close(self) -> None:
        self.aspired = set()

        async def work() -> None:
            closing = asyncio.create_task(self.manager.aclose(30))
            while not closing.done():
                for puppet in self._puppets("unloading"):
                    puppet.finish_unload()
                await asyncio.sleep(0)
            await closing

        self._run(work())
        assert not any(one.is_loaded for one in self._all())
        try:
            self.manager.handle("a")
        except NotReady:
            pass
        else:
            raise AssertionError("a closed Manager lends nothing")
        self.nothing_went_wrong()

    # How the test looks and acts

    def _model(self, name: str, versions: dict[int, str], is_fresh: bool) -> AspiredModel:
        return AspiredModel(
            name,
            tuple(
                AspiredVersion(ServableId(name, v), r, loader=self._loader((name, v, r), is_fresh))
                for v, r in versions.items()
            ),
        )

    def _loader(self, key: tuple[str, int, str], is_fresh: bool) -> PuppetLoader:
        made = self.loaders.setdefault(key, [])
        if is_fresh or not made:
            made.append(PuppetLoader(FakeServable(key[1]), ram_bytes=LOADER_BYTES))
        return made[-1]

    def _watch(self, row: VersionStatus) -> None:
        key = (row.id.name, row.id.version, row.revision)
        if row.state is VersionState.UNLOADING and key in self.aspired:
            self.wrong.append(f"{key} was ready and aspired, and is unloaded")

    def _available(self) -> ResourceEstimate:
        used = sum(LOADER_BYTES for one in self._all() if one.is_loaded)
        return ResourceEstimate(self.room * LOADER_BYTES - used)

    def _statuses(self, name: str) -> list[VersionStatus]:
        return self.manager.statuses(name) if hasattr(self, "manager") else []

    def _all(self) -> list[PuppetLoader]:
        return [one for made in self.loaders.values() for one in made]

    def _puppets(self, waiting: str) -> list[PuppetLoader]:
        return [one for one in self._all() if getattr(one, waiting).is_set()]

    def _owner(self, handle: ServableHandle) -> PuppetLoader:
        (owner,) = [one for one in self._all() if one.servable is handle.servable]
        return owner

    def _return_leases(self) -> None:
        while self.leases:
            self.leases.pop().release()

    def _turn(self, times: int = 20) -> None:
        async def work() -> None:
            for _ in range(times):
                await asyncio.sleep(0)

        self._run(work())

    def _run(self, work: Coroutine[Any, Any, object]) -> None:
        self.loop.run_until_complete(work)


TestManager = ManagerMachine.TestCase
TestManager.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
