"""One loader, one state, one transition at a time."""

import asyncio

import pytest

from penstock.core.errors import ConfigError, Internal, LoadFailed, NotReady, PenstockError
from penstock.core.ids import ServableId
from penstock.core.loader import Loader
from penstock.core.source import AspiredVersion
from penstock.core.status import VersionState
from penstock.lifecycle.handle import ServableHandle
from penstock.lifecycle.harness import HarnessContext, LoaderHarness, LoadOptions
from penstock.testing.fake_clock import FakeClock
from penstock.testing.fake_loader import FakeLoader, FaultyLoader, PuppetLoader

BROKE = "'m' version 1 could not be loaded: its loader broke; see the server's log"


class Bench:
    """A harness on a clock stepped by hand, with a diary of its states."""

    def __init__(self, loader: Loader | None, **options: float) -> None:
        self.clock = FakeClock()
        self.diary: list[VersionState] = []
        self.culprits: list[BaseException] = []
        self.slots = asyncio.Semaphore(1)
        context = HarnessContext(
            LoadOptions(**options),  # type: ignore[arg-type]
            self.slots,
            self.clock.sleep,
            self._note,
        )
        self.harness = LoaderHarness(
            AspiredVersion(ServableId("m", 1), "a", loader=loader), 1, context
        )

    def _note(self, harness: LoaderHarness) -> None:
        self.diary.append(harness.state)
        if harness.culprit is not None:
            self.culprits.append(harness.culprit)

    def start(self) -> "asyncio.Task[None]":
        self.harness.start_load()
        return asyncio.create_task(self.harness.load())

    async def load(self) -> None:
        await asyncio.wait_for(self.start(), 5)


async def test_from_new_to_unloaded() -> None:
    loader = FakeLoader()
    bench = Bench(loader)
    await bench.load()
    assert bench.harness.servable is loader.servable
    bench.harness.start_unload()
    await bench.harness.unload()
    assert [state.value for state in bench.diary] == ["loading", "ready", "unloading", "unloaded"]
    assert bench.harness.servable is None
    assert (loader.num_loads, loader.num_unloads, loader.violations) == (1, 1, [])


async def test_retries_with_a_wait_that_doubles_up_to_its_limit() -> None:
    loader = FaultyLoader([LoadFailed(f"no {number}", retryable=True) for number in range(4)])
    bench = Bench(loader, max_attempts=5, initial_backoff_s=0.5, max_backoff_s=1.5)
    task = bench.start()
    for wait_s in (0.5, 1.0, 1.5, 1.5):
        await asyncio.wait_for(bench.clock.wait_for_sleepers(), 5)
        assert bench.clock.sleeping_s == [wait_s]
        assert bench.harness.state is VersionState.LOADING
        bench.clock.advance(wait_s)
        await asyncio.sleep(0)
    await asyncio.wait_for(task, 5)
    assert bench.harness.state is VersionState.READY
    assert bench.harness.reason == ""
    assert loader.num_loads == 5


async def test_fails_with_the_last_reason_when_the_attempts_are_exhausted() -> None:
    loader = FaultyLoader(
        [LoadFailed("first", retryable=True), LoadFailed("second", retryable=True)]
    )
    bench = Bench(loader, max_attempts=2)
    task = bench.start()
    await asyncio.wait_for(bench.clock.wait_for_sleepers(), 5)
    assert bench.harness.reason == "first"
    bench.clock.advance(0.5)
    await asyncio.wait_for(task, 5)
    assert bench.harness.state is VersionState.FAILED
    assert bench.harness.reason == "second"
    assert loader.num_loads == 2


@pytest.mark.parametrize("kind", [ConfigError, LoadFailed])
async def test_an_error_that_will_not_pass_is_not_retried(kind: type[PenstockError]) -> None:
    loader = FaultyLoader([kind("runtime_options: no")])
    bench = Bench(loader)
    await bench.load()
    assert bench.harness.state is VersionState.FAILED
    assert bench.harness.reason == "runtime_options: no"
    assert loader.num_loads == 1


async def test_an_error_that_may_pass_is_retried() -> None:
    bench = Bench(FaultyLoader([NotReady("not yet")]))
    task = bench.start()
    await asyncio.wait_for(bench.clock.wait_for_sleepers(), 5)
    bench.clock.advance(0.5)
    await asyncio.wait_for(task, 5)
    assert bench.harness.state is VersionState.READY


@pytest.mark.parametrize(
    "error", [KeyError("secret path"), SystemExit(1), asyncio.CancelledError()]
)
async def test_foreign_errors_become_a_stable_text_and_who_logs_is_given_them(
    error: BaseException,
) -> None:
    bench = Bench(FaultyLoader([error]))
    await bench.load()
    assert bench.harness.state is VersionState.FAILED
    assert bench.harness.reason == BROKE
    assert bench.culprits == [error]
    assert bench.harness.culprit is None


async def test_what_a_model_raised_is_told_once_after_the_last_attempt() -> None:
    errors = [OSError("busy") for _ in range(2)]
    bench = Bench(
        FaultyLoader([LoadFailed("no", retryable=True, culprit=one) for one in errors]),
        max_attempts=2,
    )
    task = bench.start()
    await asyncio.wait_for(bench.clock.wait_for_sleepers(), 5)
    assert bench.culprits == []
    bench.clock.advance(0.5)
    await asyncio.wait_for(task, 5)
    assert bench.culprits == errors[1:]


async def test_an_estimate_that_breaks_is_a_failed_load() -> None:
    error = OSError("disk")
    with pytest.raises(LoadFailed) as caught:
        Bench(FaultyLoader(estimate_error=error)).harness.estimate()
    assert (caught.value.message, caught.value.culprit) == (BROKE, error)
    with pytest.raises(ConfigError, match="no such runtime"):
        Bench(FaultyLoader(estimate_error=ConfigError("no such runtime"))).harness.estimate()


async def test_unwanted_during_the_wait_it_stops_at_once() -> None:
    loader = FaultyLoader([LoadFailed("no", retryable=True)] * 3)
    bench = Bench(loader)
    task = bench.start()
    await asyncio.wait_for(bench.clock.wait_for_sleepers(), 5)
    bench.harness.unaspire()
    await asyncio.wait_for(task, 5)  # the clock was not moved
    assert bench.harness.state is VersionState.FAILED
    assert bench.harness.reason == "'m' version 1 is no longer wanted"
    assert loader.num_loads == 1


async def test_unwanted_while_it_queues_for_a_slot_it_is_never_loaded() -> None:
    loader = FakeLoader()
    bench = Bench(loader)
    await bench.slots.acquire()
    task = bench.start()
    await asyncio.sleep(0)
    bench.harness.unaspire()
    await asyncio.wait_for(task, 5)
    assert bench.harness.state is VersionState.FAILED
    assert loader.num_loads == 0
    bench.slots.release()
    assert not bench.slots.locked()


async def test_unwanted_and_wanted_again_while_it_queues_it_is_loaded() -> None:
    bench = Bench(FakeLoader())
    await bench.slots.acquire()
    task = bench.start()
    await asyncio.sleep(0)
    bench.harness.unaspire()
    bench.harness.aspire()
    bench.slots.release()
    await asyncio.wait_for(task, 5)
    assert bench.harness.state is VersionState.READY
    assert not bench.slots.locked()


async def test_unwanted_during_an_attempt_the_attempt_ends_first() -> None:
    loader = PuppetLoader()
    bench = Bench(loader)
    task = bench.start()
    await asyncio.wait_for(loader.loading.wait(), 5)
    bench.harness.unaspire()
    await asyncio.sleep(0)
    assert bench.harness.state is VersionState.LOADING
    loader.finish_load()
    await asyncio.wait_for(task, 5)
    assert bench.harness.state is VersionState.READY


async def test_the_slot_is_free_during_the_wait_between_attempts() -> None:
    bench = Bench(FaultyLoader([LoadFailed("no", retryable=True)]))
    task = bench.start()
    await asyncio.wait_for(bench.clock.wait_for_sleepers(), 5)
    assert not bench.slots.locked()
    bench.clock.advance(0.5)
    await asyncio.wait_for(task, 5)


async def test_a_cancelled_load_ends_failed() -> None:
    loader = PuppetLoader()
    bench = Bench(loader)
    task = bench.start()
    await asyncio.wait_for(loader.loading.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bench.harness.state is VersionState.FAILED
    assert bench.harness.reason == "loading 'm' version 1 was cut short"


async def test_unload_waits_for_the_last_lease() -> None:
    loader = FakeLoader()
    bench = Bench(loader)
    await bench.load()
    handle = ServableHandle(bench.harness.id, loader.servable, bench.harness.leases)
    bench.harness.start_unload()
    task = asyncio.create_task(bench.harness.unload())
    await asyncio.sleep(0)
    assert loader.num_unloads == 0
    handle.release()
    await asyncio.wait_for(task, 5)
    assert loader.num_unloads == 1


async def test_an_unload_that_raises_is_logged_and_over(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(FaultyLoader(unload_error=RuntimeError("stuck")))
    await bench.load()
    bench.harness.start_unload()
    await bench.harness.unload()
    assert bench.harness.state is VersionState.UNLOADED
    assert "unloading 'm' version 1 raised; its memory may not be free" in caplog.text


async def test_an_observer_that_raises_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(FakeLoader())
    bench.diary = None  # type: ignore[assignment]
    await bench.load()
    assert bench.harness.state is VersionState.READY
    assert "an observer of 'm' version 1 raised" in caplog.text


async def test_no_way_around_the_table() -> None:
    bench = Bench(FakeLoader())
    with pytest.raises(Internal, match="cannot go from state 'new' to state 'unloading'"):
        bench.harness.start_unload()
    await bench.load()
    with pytest.raises(Internal, match="cannot go from state 'ready' to state 'loading'"):
        bench.harness.start_load()


async def test_without_a_loader_it_can_only_be_refused() -> None:
    bench = Bench(None)
    with pytest.raises(Internal, match="'m' version 1 has no loader"):
        bench.harness.estimate()
    bench.harness.refuse(LoadFailed("no artifact"))
    assert bench.harness.state is VersionState.FAILED
    assert bench.harness.reason == "no artifact"


def test_options_are_checked() -> None:
    with pytest.raises(ConfigError, match="max_attempts: expected at least 1, got 0"):
        LoadOptions(max_attempts=0)
